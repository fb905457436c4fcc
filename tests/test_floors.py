"""The house: which module may import which. A guard that never leaves."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "manybase"

# From the ground up. A module imports what is below it, or beside it as long as there is no way back. A package is on
# one floor as a whole, but for what is named with a dot.
FLOORS = [
    "errors",
    "answers background belonging budget calling claims concurrency database directories drivers extras "
    "federation.limits forking gid learned models packets position reflecting refusals relationships schema scope "
    "shelves slots steps tenants unfinished usage watchdog wire",
    "ownership replicas replication routing tables twophase",
    "bounds connecting decision engines evictions openings sharing tenant_engines",
    "atomic attaching commit coordinators enlisted federation journals looking participants parts prepared_slots "
    "reading recovery search_path sequence servers serving tenancy untransactional",
    "session",
    "aio",
    "doctor health idling lifecycle migrations pending recovering replica_health tenant_health testing watching",
    "__init__ cli fastapi",
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names.split()}

# What else may be imported, and the modules or packages that may do it.
HOMES = {
    "fastapi": "fastapi",
    "starlette": "fastapi",
    "anyio": "fastapi",
    "alembic": "migrations",
    "duckdb": "federation.duckdb.root",
    "typer": "cli",
    "rich": "cli drawing",
    "psycopg": "packets replication.parting",
    "opentelemetry": "telemetry",
    "prometheus_client": "telemetry",
    "pytest": "testing",
}
# The session that a select runs in gives it its connections; it comes with the call, and only its type is imported.
FOR_ITS_TYPE = {f"manybase.federation.{name}": {"manybase.session"} for name in ("dialect", "execution", "staging")}
FOR_ITS_TYPE["manybase.federation.duckdb.executor"] = {"manybase.federation.execution"}

EVERYWHERE = {*sys.stdlib_module_names, "annotationlib", "sqlalchemy", "manybase"}  # annotationlib: Python 3.14

Imports = dict[str, set[str]]


def imports_in(package: Path) -> Imports:
    """Each module of a package, by its dotted name, with all that it imports, inside functions too."""
    found: Imports = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(parts)
        found[module] = set(imported(ast.parse(path.read_text()), parts, package))
    return found


def imported(tree: ast.AST, parts: tuple[str, ...], package: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (resolved(package, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parts[: -node.level] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (resolved(package, source, alias.name) for alias in node.names)


def resolved(package: Path, source: str, name: str = "") -> str:
    """The file that an import reads: `from manybase import session` is a module, `... import Session` a name in one."""
    for dotted in [*([f"{source}.{name}"] if name else []), source]:
        path = package.parent.joinpath(*dotted.split("."))
        if path.with_suffix(".py").is_file():
            return dotted
        if (path / "__init__.py").is_file():
            return f"{dotted}.__init__"
    return source


def place(module: str) -> str:
    """What stands for a module in FLOORS: itself, or its package."""
    name = module.removeprefix("manybase.")
    return name if name in FLOOR else name.split(".")[0]


def needed(imports: Imports) -> Imports:
    return {module: others - FOR_ITS_TYPE.get(module, set()) for module, others in imports.items()}


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def upward(imports: Imports) -> list[str]:
    return [
        f"{module} (F{FLOOR[place(module)]}) imports {other} (F{FLOOR[place(other)]}): it is above it"
        for module, others in imports.items()
        for other in sorted(others)
        if other.startswith("manybase.") and FLOOR[place(other)] > FLOOR[place(module)]
    ]


def abroad(imports: Imports) -> list[str]:
    return [
        f"{module} imports {other}: {'only ' + HOMES[root] if root in HOMES else 'nobody'} may"
        for module, others in imports.items()
        for other in sorted(others)
        if (root := other.split(".")[0]) not in EVERYWHERE
        and not any(f".{home}." in f".{module}." for home in HOMES.get(root, "").split())
    ]


@pytest.fixture(scope="module")
def imports() -> Imports:
    return imports_in(PACKAGE)


def test_every_module_is_on_a_floor(imports: Imports) -> None:
    """A new module takes its place here, and one that is gone leaves it."""
    for module, others in imports.items():
        lowest = max((FLOOR.get(place(other), 0) for other in others if other.startswith("manybase.")), default=0)
        assert place(module) in FLOOR, (
            f"{module} is on no floor. Add '{place(module)}' to FLOORS in tests/test_floors.py, on F{lowest} or above: "
            "it imports from there."
        )

    gone = {*FLOOR} - {place(module) for module in imports}
    assert not gone, f"Not in src/manybase any more, remove from FLOORS in tests/test_floors.py: {sorted(gone)}"


def test_nothing_imports_upwards(imports: Imports) -> None:
    """The floors hold what is above them."""
    assert [] == upward(needed(imports))


def test_what_is_imported_for_its_type_alone(imports: Imports) -> None:
    """Those exceptions are still there, and below ``if TYPE_CHECKING``."""
    for module, others in FOR_ITS_TYPE.items():
        path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        running = [node for node in ast.parse(path.read_text()).body if not is_for_types(node)]
        assert others <= imports[module]
        assert not others & {*imported(ast.Module(running, []), tuple(module.split(".")), PACKAGE)}


def test_no_two_modules_need_each_other(imports: Imports) -> None:
    """No way along the imports leads back to where it began."""
    try:
        TopologicalSorter(needed(imports)).prepare()
    except CycleError as error:
        pytest.fail(f"These need each other: {' <- '.join(error.args[1])}. A third idea is hiding: name it.")


def test_what_is_not_sqlalchemy_is_imported_in_one_place(imports: Imports) -> None:
    """Optional packages stay optional: only fastapi imports FastAPI, only migrations Alembic."""
    assert [] == abroad(imports)


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("routing.py", "from manybase.session import Session", "imports manybase.session (F5): it is above"),
        ("routing.py", "def late():\n    import manybase.aio", "imports manybase.aio (F6): it is above"),
        ("routing.py", "from manybase import session", "imports manybase.session (F5): it is above"),
        ("routing.py", "from . import session as other", "imports manybase.session (F5): it is above"),
        ("routing.py", "from manybase import Session", "imports manybase.__init__ (F8): it is above"),
        ("fastapi/routes.py", "from ..session import Session", None),
        ("fastapi/routes.py", "from .. import Session\nimport fastapi.params", None),
        ("routing.py", "if True:\n    from starlette.requests import Request", "only fastapi may"),
        ("routing.py", "import requests", "nobody may"),
        ("federation/duckdb/root.py", "def late():\n    import duckdb", None),
        ("federation/duckdb/values.py", "def late():\n    import duckdb", "only federation.duckdb.root may"),
        ("federation/limits.py", "from manybase.routing import Route", "(F1) imports manybase.routing (F2)"),
        ("federation/plan.py", "from manybase.routing import Route", None),
        ("routing.py", "from manybase.errors import RoutingError\nimport sqlalchemy.orm, json", None),
    ],
)
def test_the_guard_itself(tmp_path: Path, file: str, source: str, found: str | None) -> None:
    """It sees every form of import, wherever it stands."""
    package = tmp_path / "manybase"
    for folder in ("fastapi", "federation/duckdb"):
        (package / folder).mkdir(parents=True)
    for name in ("__init__", "session", "aio", "errors", "routing", "fastapi/__init__", "federation/__init__"):
        (package / f"{name}.py").touch()
    (package / file).write_text(source)
    imports = imports_in(package)

    complaints = upward(imports) + abroad(imports)

    assert [] == complaints if found is None else [found in each for each in complaints] == [True]
