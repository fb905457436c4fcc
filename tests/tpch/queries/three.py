"""The queries that all three databases answer: 5, 7, 8, 9, 20 and 21."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import aliased

from tests.tpch.models import Customer, LineItem, Nation, Order, Part, PartSupplier, Region, Supplier
from tests.tpch.queries.query import Queries
from tests.tpch.queries.terms import divisor, revenue, year

QUERIES = Queries()


@QUERIES.add(5)
def local_supplier_volume() -> Select[Any]:
    local = and_(LineItem.l_suppkey == Supplier.s_suppkey, Customer.c_nationkey == Supplier.s_nationkey)
    paid = func.sum(revenue())
    return (
        select(Nation.n_name, paid)
        .select_from(Customer)
        .join(Order, Customer.c_custkey == Order.o_custkey)
        .join(LineItem, LineItem.l_orderkey == Order.o_orderkey)
        .join(Supplier, local)
        .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
        .join(Region, Nation.n_regionkey == Region.r_regionkey)
        .where(Region.r_name == "ASIA", Order.o_orderdate >= date(1994, 1, 1), Order.o_orderdate < date(1995, 1, 1))
        .group_by(Nation.n_name)
        .order_by(paid.desc())
    )


@QUERIES.add(7)
def volume_of_shipping() -> Select[Any]:
    seller, buyer = aliased(Nation, name="n1"), aliased(Nation, name="n2")
    shipping = (
        select(
            seller.n_name.label("supp_nation"),
            buyer.n_name.label("cust_nation"),
            year(LineItem.l_shipdate).label("l_year"),
            revenue().label("volume"),
        )
        .select_from(Supplier)
        .join(LineItem, Supplier.s_suppkey == LineItem.l_suppkey)
        .join(Order, Order.o_orderkey == LineItem.l_orderkey)
        .join(Customer, Customer.c_custkey == Order.o_custkey)
        .join(seller, Supplier.s_nationkey == seller.n_nationkey)
        .join(buyer, Customer.c_nationkey == buyer.n_nationkey)
        .where(
            or_(
                and_(seller.n_name == "FRANCE", buyer.n_name == "GERMANY"),
                and_(seller.n_name == "GERMANY", buyer.n_name == "FRANCE"),
            ),
            LineItem.l_shipdate.between(date(1995, 1, 1), date(1996, 12, 31)),
        )
        .subquery("shipping")
    )
    group = (shipping.c.supp_nation, shipping.c.cust_nation, shipping.c.l_year)
    return select(*group, func.sum(shipping.c.volume)).group_by(*group).order_by(*group)


@QUERIES.add(8, quotients={1})
def national_market_share() -> Select[Any]:
    buyer, seller = aliased(Nation, name="n1"), aliased(Nation, name="n2")
    nations = (
        select(
            year(Order.o_orderdate).label("o_year"),
            revenue().label("volume"),
            seller.n_name.label("nation"),
        )
        .select_from(Part)
        .join(LineItem, Part.p_partkey == LineItem.l_partkey)
        .join(Supplier, Supplier.s_suppkey == LineItem.l_suppkey)
        .join(Order, LineItem.l_orderkey == Order.o_orderkey)
        .join(Customer, Order.o_custkey == Customer.c_custkey)
        .join(buyer, Customer.c_nationkey == buyer.n_nationkey)
        .join(Region, buyer.n_regionkey == Region.r_regionkey)
        .join(seller, Supplier.s_nationkey == seller.n_nationkey)
        .where(
            Region.r_name == "AMERICA",
            Order.o_orderdate.between(date(1995, 1, 1), date(1996, 12, 31)),
            Part.p_type == "ECONOMY ANODIZED STEEL",
        )
        .subquery("all_nations")
    )
    brazil = case((nations.c.nation == "BRAZIL", nations.c.volume), else_=0)
    return (
        select(nations.c.o_year, func.sum(brazil) / divisor(func.sum(nations.c.volume)))
        .group_by(nations.c.o_year)
        .order_by(nations.c.o_year)
    )


@QUERIES.add(9)
def profit_by_product() -> Select[Any]:
    supplied = and_(PartSupplier.ps_suppkey == LineItem.l_suppkey, PartSupplier.ps_partkey == LineItem.l_partkey)
    profit = (
        select(
            Nation.n_name.label("nation"),
            year(Order.o_orderdate).label("o_year"),
            (revenue() - PartSupplier.ps_supplycost * LineItem.l_quantity).label("amount"),
        )
        .select_from(Part)
        .join(LineItem, Part.p_partkey == LineItem.l_partkey)
        .join(Supplier, Supplier.s_suppkey == LineItem.l_suppkey)
        .join(PartSupplier, supplied)
        .join(Order, Order.o_orderkey == LineItem.l_orderkey)
        .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
        .where(Part.p_name.like("%green%"))
        .subquery("profit")
    )
    return (
        select(profit.c.nation, profit.c.o_year, func.sum(profit.c.amount))
        .group_by(profit.c.nation, profit.c.o_year)
        .order_by(profit.c.nation, profit.c.o_year.desc())
    )


@QUERIES.add(20)
def candidates_for_promotion() -> Select[Any]:
    forest = select(Part.p_partkey).where(Part.p_name.like("forest%"))
    half_of_sold = (
        select(Decimal("0.5") * func.sum(LineItem.l_quantity))
        .where(
            LineItem.l_partkey == PartSupplier.ps_partkey,
            LineItem.l_suppkey == PartSupplier.ps_suppkey,
            LineItem.l_shipdate >= date(1994, 1, 1),
            LineItem.l_shipdate < date(1995, 1, 1),
        )
        .scalar_subquery()
    )
    surplus = select(PartSupplier.ps_suppkey).where(
        PartSupplier.ps_partkey.in_(forest), PartSupplier.ps_availqty > half_of_sold
    )
    return (
        select(Supplier.s_name, Supplier.s_address)
        .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
        .where(Supplier.s_suppkey.in_(surplus), Nation.n_name == "CANADA")
        .order_by(Supplier.s_name)
    )


@QUERIES.add(21)
def suppliers_who_kept_orders_waiting() -> Select[Any]:
    of_another = aliased(LineItem, name="l2")
    late_of_another = aliased(LineItem, name="l3")

    def beside(item: type[LineItem]) -> Any:
        return and_(item.l_orderkey == LineItem.l_orderkey, item.l_suppkey != LineItem.l_suppkey)

    late = late_of_another.l_receiptdate > late_of_another.l_commitdate
    return (
        select(Supplier.s_name, func.count())
        .select_from(Supplier)
        .join(LineItem, Supplier.s_suppkey == LineItem.l_suppkey)
        .join(Order, Order.o_orderkey == LineItem.l_orderkey)
        .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
        .where(
            Order.o_orderstatus == "F",
            LineItem.l_receiptdate > LineItem.l_commitdate,
            select(of_another).where(beside(of_another)).exists(),
            ~select(late_of_another).where(beside(late_of_another), late).exists(),
            Nation.n_name == "SAUDI ARABIA",
        )
        .group_by(Supplier.s_name)
        .order_by(func.count().desc(), Supplier.s_name)
        .limit(100)
    )
