"""Commits of tenants over several servers, killed on the way."""

from dataclasses import dataclass

from sqlalchemy import URL, Column, Integer, MetaData, Table, insert

from manybase import Database, Databases, Session
from manybase.steps import Step
from manybase.testing import fail_at
from tests.atomic.dying import in_process, was_killed
from tests.atomic.recovering import ask, wait_until_alone

TENANTS = ("acme", "bolt")
shop_entries = Table("entries", MetaData(), Column("id", Integer, primary_key=True))
crm_entries = Table("entries", MetaData(), Column("id", Integer, primary_key=True))
logs_entries = Table("entries", MetaData(), Column("id", Integer, primary_key=True))


@dataclass(frozen=True)
class World:
    """A shop, a database for each tenant on one server, and perhaps another one for each on a second server."""

    shop: URL
    crm: URL
    logs: URL
    app: str

    def declare(self, *tenants: str, names: tuple[str, ...] = ("shop", "crm", "logs")) -> Databases:
        declared = [
            Database("logs", self.logs, models=logs_entries, tenants=[*tenants]),
            Database("crm", self.crm, models=crm_entries, tenants=[*tenants]),
            Database("shop", self.shop, models=shop_entries),
        ]
        return Databases(*(each for each in declared if each.name in names), app=self.app)

    def of(self, tenant: str) -> dict[str, URL]:
        crm, logs = (url.set(database=str(url.database).replace("{tenant}", tenant)) for url in (self.crm, self.logs))
        return {"shop": self.shop, f"crm@{tenant}": crm, f"logs@{tenant}": logs}

    def count(self, tenant: str) -> list[int]:
        return [ask(url, "SELECT count(*) FROM entries")[0][0] for url in self.of(tenant).values()]


def commit_and_die(world: World, tenant: str, step: Step, names: tuple[str, ...]) -> None:
    databases = world.declare(*TENANTS, names=names)
    tables = {"shop": shop_entries, "crm": crm_entries, "logs": logs_entries}
    with fail_at(step, kill=True), Session(databases, tenant=tenant) as session:
        for name in reversed(names):
            session.execute(insert(tables[name]).values())
        session.commit()


def leave(world: World, tenant: str, step: Step, names: tuple[str, ...] = ("shop", "crm", "logs")) -> None:
    assert was_killed(in_process(commit_and_die, world, tenant, step, names))
    wait_until_alone(world.of(tenant).values())
