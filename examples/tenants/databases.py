"""The databases: one that all customers share, whose table of customers is the directory, and one for each of them.

The files are in ``MANYBASE_EXAMPLE_DATA``, which ``python -m examples.tenants`` sets.
"""

import os
from pathlib import Path

from examples.tenants.models import ControlBase, Customer, NotesBase
from manybase import Database, Databases, TenantTable

DATA = Path(os.environ.get("MANYBASE_EXAMPLE_DATA") or Path(__file__).parent / "data").resolve()

databases = Databases(
    Database("control", f"sqlite:///{DATA}/control.sqlite", models=ControlBase, default=True),
    Database(
        "notes",
        f"sqlite:///{DATA}/notes-{{tenant}}.sqlite",
        models=NotesBase,
        tenants=TenantTable(Customer.slug),
        tenant_names="[a-z][a-z0-9]{1,29}",
    ),
    max_connections=20,  # of this process, whatever the number of customers
    max_tenant_engines=10,
)
