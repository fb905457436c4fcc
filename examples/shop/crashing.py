"""An order in a process that is killed while it commits: ``python -m examples.shop.crashing STEP USER PRODUCT``."""

import subprocess
import sys
from typing import cast

from examples.shop.analytics_models import Event, Order
from examples.shop.databases import databases
from examples.shop.shop_models import Product
from manybase import Session
from manybase.steps import Step
from manybase.testing import fail_at

QUANTITY = 2


def run(step: Step, user_id: int, product_id: int) -> int:
    """How the process ended: the number of the signal that killed it, negative."""
    command = [sys.executable, "-m", "examples.shop.crashing", step, str(user_id), str(product_id)]
    return subprocess.run(command, check=False, timeout=60).returncode


def order_and_die(step: Step, user_id: int, product_id: int) -> None:
    with Session(databases) as session:
        product = session.get_one(Product, product_id)
        product.stock -= QUANTITY
        price = QUANTITY * product.price_cents
        order = Order(user_id=user_id, product_id=product_id, quantity=QUANTITY, total_cents=price)
        session.add_all([order, Event(user_id=user_id, kind="ordered")])
        with fail_at(step, kill=True):
            session.commit()


if __name__ == "__main__":
    order_and_die(cast("Step", sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
