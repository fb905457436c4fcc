"""The application: the routes of the shop, its health, and a start page."""

from secrets import token_hex

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from examples.shop import pages
from examples.shop.answered_by import AnsweredBy
from examples.shop.databases import databases
from examples.shop.routes import router
from manybase.fastapi import PositionMiddleware, health_router, lifespan


def anyone() -> None:
    """Who may see the state of each database: in this demonstration everybody. Put your own check here."""


app = FastAPI(title="manybase shop", lifespan=lifespan(databases, migrations="require"))
app.include_router(router)
app.include_router(pages.router)
app.include_router(health_router(databases, details=Depends(anyone)))
app.add_middleware(AnsweredBy)
# Signs what a client carries from one request to the next. Several processes share a secret of your settings instead.
app.add_middleware(PositionMiddleware, databases=databases, secret=token_hex())


@app.exception_handler(RequestValidationError)
async def tell_what_is_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """As FastAPI's own, without the input: NaN and half a surrogate pair cannot be sent back as JSON."""
    detail = [{key: each[key] for key in ("type", "loc", "msg")} for each in error.errors()]
    return JSONResponse({"detail": detail}, 422)
