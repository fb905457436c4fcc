"""What to try on the start page, and which databases each request touches. The tests check that it is so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Visit:
    method: str
    path: str
    about: str
    databases: tuple[str, ...] = ()
    body: str = ""
    """What to send; ``NUMBER`` in it is replaced by a fresh one."""


WRITING = (
    Visit(
        "POST",
        "/users",
        "Sign up. One session writes a user to shop and an event to analytics.",
        ("shop", "analytics", "audit"),
        '{"name": "Margaret Hamilton", "email": "margaret-NUMBER@example.com"}',
    ),
    Visit(
        "POST",
        "/orders",
        "Order. Stock goes down in shop, the order goes to analytics: one session, one commit.",
        ("shop", "analytics", "audit"),
        '{"user_id": 1, "product_id": 2, "quantity": 1}',
    ),
    Visit(
        "POST",
        "/orders/failing",
        "The same writes, then the payment fails. Nothing is kept, but for the audit entry.",
        ("shop", "analytics", "audit"),
        '{"user_id": 1, "product_id": 2, "quantity": 1}',
    ),
)

READING = (
    Visit("GET", "/users", "A page of users.", ("shop",)),
    Visit("GET", "/users/1", "A user with orders and events: relationships across databases.", ("shop", "analytics")),
    Visit("GET", "/products", "The catalogue, from a def route with a sync session.", ("shop",)),
    Visit("GET", "/dashboard", "Figures from three databases.", ("shop", "analytics", "audit")),
    Visit("GET", "/reports/revenue", "analytics adds up, shop knows the names.", ("analytics", "shop")),
    Visit("GET", "/reports/buyers", "One statement: a join over two databases.", ("shop", "analytics")),
    Visit("GET", "/reports/buyers/explain", "How that join is done, and what it takes.", ("shop", "analytics")),
    Visit("GET", "/exports/orders.csv", "All orders as CSV, streamed in batches.", ("analytics", "shop")),
)

SEPARATE = (
    Visit("GET", "/events", "A session that may touch analytics only.", ("analytics",)),
    Visit("GET", "/audit", "Who did what, and how it ended: also what failed.", ("audit",)),
    Visit("GET", "/regions/eu/parcels", "The request chooses the region, and with it the database.", ("eu",)),
    Visit("GET", "/regions/us/parcels", "The same models, in another database.", ("us",)),
    Visit("POST", "/regions/us/parcels", "A parcel for a region.", ("us",), '{"city": "Denver"}'),
    Visit("GET", "/regions/audit/parcels", "audit is a database, but not a region: 404."),
)

ROUTING = (
    Visit("GET", "/routing", "Where statements go, and why. Nothing runs."),
    Visit("GET", "/routing/lock", "A join over two databases that is to lock rows: refused, with advice."),
    Visit("GET", "/routing/pinned", "A session for analytics, asked for a user: refused."),
    Visit("GET", "/routing/ambiguous", "Parcels are in eu and in us: refused, rather than guessed."),
    Visit("GET", "/readyz", "Whether the application can serve."),
    Visit("GET", "/health", "Each database, asked on a connection of its own."),
)

SECTIONS = {
    "Write two databases through one session": WRITING,
    "Read across databases": READING,
    "One database at a time": SEPARATE,
    "Look at the routing": ROUTING,
}
