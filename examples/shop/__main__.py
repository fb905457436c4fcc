"""``python -m examples.shop``: see demo.py."""

import sys

try:
    from examples.shop.demo import main
except KeyboardInterrupt:  # imports take a second or two: Ctrl-C may well come here
    sys.exit(130)

sys.exit(main())
