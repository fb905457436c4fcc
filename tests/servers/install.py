"""Makes sure that PostgreSQL and MariaDB can be started: `python -m tests.servers.install`."""

import os
import sys

from tests.servers.programs import MARIADB, POSTGRESQL, Product, ServerNotAvailable, find_or_install


def main() -> int:
    there = [_report(product) for product in (POSTGRESQL, MARIADB)]
    return 0 if all(there) else 1


def _report(product: Product) -> bool:
    try:
        origin = product.variable if os.environ.get(product.variable) else find_or_install(product).origin
    except ServerNotAvailable as missing:
        print(f"{product.name}: missing. {missing}")
        return False
    print(f"{product.name}: {origin}")
    return True


if __name__ == "__main__":
    sys.exit(main())
