"""``python -m manybase.cli``: the command line where no script is installed."""

from manybase.cli import main

if __name__ == "__main__":
    main()
