"""The databases of the shop, declared once. Everything else in this folder reads this declaration.

No URL stands here, so each comes from the environment when first needed: ``MANYBASE_SHOP_URL`` for ``shop``, and so on.
``python -m examples.shop`` sets those that are missing to SQLite files.
"""

import os

from manybase import Database, Databases

REGIONS = "examples.shop:migrations/regions"
REPLICAS = os.environ.get("MANYBASE_SHOP_REPLICA_URLS", "").split()  # of servers that follow that of ``shop``

databases = Databases(
    # What there is: users, products.
    Database("shop", models="examples.shop.shop_models", default=True, replicas=REPLICAS),
    Database("analytics", models="examples.shop.analytics_models"),  # what happened: orders, events
    Database("audit", models="examples.shop.audit_models"),  # who did what, and how it ended
    # The same tables in two places. A request chooses one of them: see sessions.py. Their history is one, too.
    Database("eu", models="examples.shop.region_models", shared_models=True, migrations=REGIONS),
    Database("us", models="examples.shop.region_models", shared_models=True, migrations=REGIONS),
    migrations="examples.shop:migrations",  # a folder of this package, wherever the program is started
)
