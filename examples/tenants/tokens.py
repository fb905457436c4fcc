"""Tokens: what a customer shows to say who it is. Only a digest is kept, so whoever reads the table cannot use it."""

from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select

from examples.tenants.databases import databases
from examples.tenants.models import Customer
from manybase import AsyncSession
from manybase.fastapi import session_dependency

# A token of 256 random bits cannot be guessed, so a digest without salt does. For passwords it would not.
ControlDep = Annotated[AsyncSession, session_dependency(databases, database="control")]
bearer = HTTPBearer(auto_error=False)


def new_token() -> str:
    return token_urlsafe(32)


def digest_of(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()


async def current_customer(
    control: ControlDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Customer:
    """The customer whose token it is. A client names no customer: it can only show what it has."""
    digest = digest_of(credentials.credentials) if credentials is not None else ""
    customer = await control.scalar(select(Customer).where(Customer.token_digest == digest))
    if customer is None:
        raise HTTPException(401, "Show the token of your customer.", {"WWW-Authenticate": "Bearer"})
    return customer


CustomerDep = Annotated[Customer, Depends(current_customer)]


def tenant_of(customer: CustomerDep) -> str:
    return customer.slug


# The sessions of a customer: its own notes, and what all share.
NotesDep = Annotated[AsyncSession, session_dependency(databases, tenant=tenant_of)]
