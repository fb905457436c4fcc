"""The start page: what to try, and which databases each route touches."""

from functools import cache
from html import escape
from pathlib import Path
from string import Template

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from examples.shop.databases import databases
from examples.shop.visits import SECTIONS, Visit
from manybase import Database

BACKENDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}

router = APIRouter(include_in_schema=False)

# The page needs nothing from elsewhere, and the browser holds it to that.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/", response_class=HTMLResponse)
async def start() -> HTMLResponse:
    return HTMLResponse(page(), headers={"Content-Security-Policy": POLICY})


@cache
def page() -> str:
    template = Template(Path(__file__).with_name("start.html").read_text(encoding="utf-8"))
    sections = "".join(section(title, visits) for title, visits in SECTIONS.items())
    return template.substitute(databases="".join(map(database_card, databases)), sections=sections)


def database_card(database: Database) -> str:
    backend = database.resolve_url().get_backend_name()
    tables = ", ".join(table.name for table in databases.tables(database.name))
    text = f"<p>{escape(BACKENDS.get(backend, backend))}</p><p>{escape(tables)}</p>"
    return f'<li class="{database.name}"><h3>{database.name}</h3>{text}</li>'


def section(title: str, visits: tuple[Visit, ...]) -> str:
    return f'<section><h2>{escape(title)}</h2><ul class="visits">{"".join(map(visit_row, visits))}</ul></section>'


def visit_row(visit: Visit) -> str:
    path = f"<code>{escape(visit.path)}</code>"
    if visit.method == "GET":
        path = f'<a href="{escape(visit.path)}">{path}</a>'
    chips = "".join(f'<span class="chip {name}">{name}</span>' for name in visit.databases)
    body = f"<pre>{escape(visit.body)}</pre>" if visit.body else ""
    data = f'data-method="{visit.method}" data-path="{escape(visit.path)}" data-body="{escape(visit.body)}"'
    return (
        f'<li {data}><div class="head"><span class="method {visit.method}">{visit.method}</span>{path}'
        f'<span class="chips">{chips}</span><button type="button">Run</button></div>'
        f"<p>{escape(visit.about)}</p>{body}</li>"
    )
