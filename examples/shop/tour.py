"""The tour: what one session over many databases does, asked of the running application, with real results."""

import secrets
import signal

from examples.shop import crashing
from examples.shop.databases import databases
from examples.shop.guide import Guide
from manybase.recovery import resolve
from manybase.steps import Step


def tour(guide: Guide) -> None:
    """Walk through everything; ``Unexpected`` at the first result that is not the expected one."""
    show_routing(guide)
    user, order = write_two_databases(guide)
    load_relationships(guide, user["id"])
    read_three_databases(guide)
    join_two_databases(guide)
    combine_two_statements(guide)
    roll_back_two_databases(guide, user["id"], order["product_id"])
    keep_audit_entry(guide)
    die_while_committing(guide, user["id"], order["product_id"])
    refuse(guide)
    choose_region(guide)
    stream(guide)
    check_health(guide)


def show_routing(guide: Guide) -> None:
    guide.step("Where do statements go?", "To whoever owns their tables. session.route() tells, and why.")
    routes = guide.ask("GET", "/routing", rows=0)
    for each in routes:
        guide.tell(each["database"], f"{each['statement']}: {each['reason']}")
    asked = [each["database"] for each in routes]
    guide.check("each goes to its owner", asked[:4] == ["shop", "shop", "analytics", "audit"])
    guide.check("and a select over two databases to both", asked[4:] == ["analytics + shop"])


def write_two_databases(guide: Guide) -> tuple[dict[str, int], dict[str, int]]:
    guide.step(
        "One session writes users, orders and events",
        "Users and products live in shop, orders and events in analytics. Each route has one session and one commit.",
    )
    email = f"guest-{secrets.token_hex(4)}@example.com"
    user = guide.ask("POST", "/users", {"name": "A Guest", "email": email}, status=201)
    product = max(guide.ask("GET", "/products"), key=lambda each: each["stock"])
    wish = {"user_id": user["id"], "product_id": product["id"], "quantity": 2}
    order = guide.ask("POST", "/orders", wish, status=201)
    guide.check("the order has its price from shop", order["total_cents"] == 2 * product["price_cents"])
    return user, order


def load_relationships(guide: Guide, user_id: int) -> None:
    guide.step(
        "Relationships reach across databases",
        "selectinload(User.orders) asks shop for the user, then analytics for the orders, and gives one object graph.",
    )
    user = guide.ask("GET", f"/users/{user_id}")
    kinds = [each["kind"] for each in user["events"]]
    guide.check(f"a user of shop with 1 order and events {kinds} of analytics", len(user["orders"]) == 1)
    guide.check("both writes are there", kinds == ["signed up", "ordered"])


def read_three_databases(guide: Guide) -> None:
    guide.step("A dashboard reads three databases", "One session, six statements, each answered by its owner.")
    figures = guide.ask("GET", "/dashboard")
    guide.check("figures from shop, analytics and audit", all(value > 0 for value in figures.values()))


def join_two_databases(guide: Guide) -> None:
    guide.step(
        "A join over two databases",
        "select(User, ...).join(Order, ...): each database answers its part, and the rows are joined here.",
    )
    rows = guide.ask("GET", "/reports/buyers")
    guide.check(f"best: {rows[0]['name']}, {rows[0]['orders']} orders", rows[0]["spent_cents"] > 0)
    explanation = guide.explained("/reports/buyers/explain")
    asked = [each["database"] for each in explanation["fragments"]]
    guide.check("both databases are asked once, and Python joins", sorted(asked) == ["analytics", "shop"])


def combine_two_statements(guide: Guide) -> None:
    guide.step(
        "A report combines two databases",
        "analytics adds up by product, shop knows the names: two statements, combined by key.",
    )
    rows = guide.ask("GET", "/reports/revenue")
    guide.check(f"best: {rows[0]['product']}, {rows[0]['revenue_cents'] / 100:.2f}", rows[0]["revenue_cents"] > 0)


def roll_back_two_databases(guide: Guide, user_id: int, product_id: int) -> None:
    guide.step(
        "A request that fails leaves nothing in either database",
        "The route takes stock in shop and writes the order to analytics. Then the payment is declined.",
    )
    before = stock_and_orders(guide, user_id, product_id)
    wish = {"user_id": user_id, "product_id": product_id, "quantity": 5}
    guide.ask("POST", "/orders/failing", wish, status=402)
    after = stock_and_orders(guide, user_id, product_id)
    guide.check(f"stock and orders before {before}, after {after}", before == after)


def stock_and_orders(guide: Guide, user_id: int, product_id: int) -> tuple[int, int]:
    stock = {each["id"]: each["stock"] for each in guide.peek("/products")}
    return stock[product_id], len(guide.peek(f"/users/{user_id}")["orders"])


def keep_audit_entry(guide: Guide) -> None:
    guide.step(
        "Its audit entry stays", "The audit session is a transaction of its own, which the failed one cannot undo."
    )
    latest = guide.ask("GET", "/audit")[0]
    guide.check(f"{latest['action']} {latest['outcome']}", latest["outcome"].startswith("failed: 402"))


def refuse(guide: Guide) -> None:
    guide.step(
        "What cannot be answered rightly is refused",
        "Before any SQL runs, and it says what to do instead. Rows of two databases join, and cannot be locked.",
    )
    guide.refused("/routing/pinned", "RoutingError")
    guide.refused("/routing/ambiguous", "AmbiguousRoute")
    message = guide.refused("/routing/lock", "UnsupportedStatement")
    guide.check("the message names what cannot be", "FOR UPDATE" in message)


def choose_region(guide: Guide) -> None:
    guide.step(
        "A region chosen per request",
        "The same models in two databases. A request chooses among those two, and reaches no other one.",
    )
    sent = guide.ask("POST", "/regions/eu/parcels", {"city": "Ghent"}, status=201)
    eu, us = (guide.ask("GET", f"/regions/{region}/parcels", rows=1) for region in ("eu", "us"))
    guide.check("the parcel is in eu, and not in us", sent in eu and sent not in us)
    guide.ask("GET", "/regions/mars/parcels", status=404)
    guide.ask("GET", "/regions/audit/parcels", status=404)


def stream(guide: Guide) -> None:
    guide.step(
        "A streamed export",
        "Read in batches while it is sent; the names from shop follow with each batch. Its session never commits.",
    )
    lines = guide.lines("/exports/orders.csv", show=4)
    guide.check(f"{len(lines) - 1} orders with the names of their users", any("A Guest" in line for line in lines))


def die_while_committing(guide: Guide, user_id: int, product_id: int) -> None:
    guide.step(
        "Killed in the middle of a commit",
        "Another process places the same order and is killed (SIGKILL) while it commits over shop and analytics: once "
        "just before the commit is decided, once just after. Then recovery looks what it left.",
    )
    before = stock_and_orders(guide, user_id, product_id)
    guide.check(
        "killed before: nothing in either database", before == after_kill(guide, "deciding", user_id, product_id)
    )
    stock, orders = after_kill(guide, "committed", user_id, product_id)
    guide.check("killed after: all of it in both", (stock, orders) == (before[0] - 2, before[1] + 1))


def after_kill(guide: Guide, step: Step, user_id: int, product_id: int) -> tuple[int, int]:
    ended = crashing.run(step, user_id, product_id)
    guide.check(f"the process died at {step!r}, by signal {-ended}", ended == -signal.SIGKILL)
    for each in resolve(databases, min_age=0).resolutions:
        guide.tell(each.database, f"was in doubt: {each.ended}")
    return stock_and_orders(guide, user_id, product_id)


def check_health(guide: Guide) -> None:
    guide.step("Is everything well?", "Each database is asked on a connection of its own, all at once.")
    states = {each["database"]: each["status"] for each in guide.peek("/health")["databases"]}
    guide.check("GET /health: all five databases answer", states == dict.fromkeys(databases.names, "ok"))
