"""The routes of the shop, by what they show."""

from fastapi import APIRouter

from examples.shop.routes import regions, reports, routing, shopping

router = APIRouter()
for each in (shopping, reports, regions, routing):
    router.include_router(each.router)
