"""Names that a client made up: refused before anything connects, and harmless in a log."""

from pathlib import Path
from typing import Any

import pytest

from manybase import Database, Databases, Session, UnknownTenant
from tests.shop import FAST
from tests.tenants.conftest import Run
from tests.tenants.customers import Crm, Item

HOSTILE = [
    "",
    ".",
    "..",
    "a..b",
    "a.",
    ".a",
    "../acme",
    "..%2facme",
    "%2e%2e",
    "acme'",
    'acme"',
    "acme; DROP TABLE items",
    "acme\x00",
    "acme\n",
    "\nacme",
    "acme\r\nX: y",
    "acme\x1b[2J",
    "a@b",
    "acme/globex",
    "acme\\globex",
    "acme?host=evil",
    "acme#",
    "acme:1",
    "{tenant}",
    " acme",
    "acme ",
    "a" * 300,
    "\u0430cme",  # a Cyrillic letter that looks like the Latin one
    "ac\u200bme",  # with a space that nobody sees
    "\uff41cme",  # a wide letter
    "acm\u00e9",
    "\u0661",  # a digit, in Arabic
    7,
    b"acme",
    ["acme"],
]


class Believing(dict[Any, Any]):
    """A directory that knows everybody."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: object, default: object = None) -> Any:
        return True


def believing(folder: Path, pattern: str | None = None) -> Databases:
    options: Any = {} if pattern is None else {"tenant_names": pattern}
    url = f"sqlite:///{folder}/crm_{{tenant}}.db"
    return Databases(Database("crm", url, models=Crm, tenants=Believing(), **options), engine_options=FAST)


@pytest.mark.parametrize("pattern", [None, "(?s:.*)"], ids=["usual", "anything"])
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile(tmp_path: Path, run: Run, connects: list[str], name: Any, pattern: str | None) -> None:
    """Refused whatever the directory says, and whatever ``tenant_names=`` allows."""
    databases = believing(tmp_path, pattern)

    with pytest.raises(UnknownTenant) as caught:
        run(databases, lambda session: session.get(Item, 1), tenant=name)

    said = str(caught.value)
    assert ([], [], True) == (connects, [*tmp_path.iterdir()], said.isascii() and said.isprintable())
    assert len(said) < 250
    assert name == caught.value.tenant


@pytest.mark.parametrize("name", ["ACME", "acme.eu", "a" * 49, "-acme"])
def test_unusual(tmp_path: Path, connects: list[str], name: str) -> None:
    """Names that are harmless are refused until ``tenant_names=`` allows them."""
    with pytest.raises(UnknownTenant):
        Session(believing(tmp_path), tenant=name)
    if not name.startswith("-"):
        Session(believing(tmp_path, "[A-Za-z.]+"), tenant=name).close()

    assert [] == connects


@pytest.mark.parametrize("name", ["acme", "a", "0", "acme-1", "a_b", "a" * 48])
def test_usual(tmp_path: Path, name: str) -> None:
    """It stands in the path as it is."""
    databases = believing(tmp_path)

    assert f"{tmp_path}/crm_{name}.db" == databases.engine("crm", tenant=name).url.database


def test_pattern_is_anchored(tmp_path: Path) -> None:
    """A pattern for a part of a name matches no more than that."""
    databases = believing(tmp_path, "a|b")

    Session(databases, tenant="a").close()
    for name in ("ab", "xa", "a\n"):
        with pytest.raises(UnknownTenant):
            Session(databases, tenant=name)


@pytest.mark.parametrize("name", ["crm@", "crm@a@b", "crm@../x", "crm@eu.", "crm@A", "@acme", "nobody@acme"])
def test_names_of_parts(tmp_path: Path, name: str) -> None:
    """What is no name for a tenant is none in the name of a part, either."""
    databases = believing(tmp_path)

    assert name not in databases
    with pytest.raises(LookupError):
        databases.engine(name)


def test_too_long_for_postgresql() -> None:
    """PostgreSQL cuts a name off after 63 bytes, where two tenants could meet."""
    url, long = "postgresql+psycopg://somebody@localhost/a_name_of_its_own_for_", "a" * 45
    databases = Databases(Database("crm", f"{url}{{tenant}}", models=Crm, tenants=Believing()))

    with pytest.raises(UnknownTenant, match="63 bytes"):
        databases.engine("crm", tenant=long)
    with pytest.raises(UnknownTenant, match="63 bytes"), Session(databases, tenant=long) as session:
        session.get(Item, 1)
