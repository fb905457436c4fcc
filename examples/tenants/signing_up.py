"""Signing up: the database of a new customer is made, then the customer is entered in the directory."""

from sqlalchemy.exc import IntegrityError

from examples.tenants.databases import databases
from examples.tenants.models import Customer
from examples.tenants.tokens import digest_of, new_token
from manybase import AsyncSession


class Taken(Exception):
    """Somebody has that name."""


async def sign_up(control: AsyncSession, slug: str, plan_name: str) -> str:
    """The token of the new customer, which is told this once.

    In this order: who is in the directory has all that it needs. If the process dies in between, nobody is a customer,
    and to sign up again finds the empty file. A larger program migrates in place of ``acreate_all``: see
    ``manybase tenants create``.
    """
    if await control.get(Customer, slug) is not None:
        raise Taken(slug)
    await databases.acreate_all(tenant=slug)
    token = new_token()
    control.add(Customer(slug=slug, plan_name=plan_name, token_digest=digest_of(token)))
    try:
        await control.commit()
    except IntegrityError as error:  # at the same time
        raise Taken(slug) from error
    return token
