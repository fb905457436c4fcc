"""``python -m examples.tenants``: serves the application on SQLite files, in examples/tenants/data or --data."""

import argparse
import os
from pathlib import Path

import uvicorn


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.tenants", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="where the files are")
    parser.add_argument("--port", type=int, default=8000, help="0 is any free one (default: 8000)")
    options = parser.parse_args()
    os.environ["MANYBASE_EXAMPLE_DATA"] = str(options.data)
    uvicorn.run("examples.tenants.app:app", port=options.port)


if __name__ == "__main__":
    main()
