"""The queries that one database answers alone: 1 and 6 MariaDB, 13 and 22 PostgreSQL, 16 SQLite."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, and_, func, select

from tests.tpch.models import Customer, LineItem, Order, Part, PartSupplier, Supplier
from tests.tpch.queries.query import Queries
from tests.tpch.queries.terms import revenue

QUERIES = Queries(at_home=True)


@QUERIES.add(1, quotients={6, 7, 8})
def pricing_summary() -> Select[Any]:
    return (
        select(
            LineItem.l_returnflag,
            LineItem.l_linestatus,
            func.sum(LineItem.l_quantity),
            func.sum(LineItem.l_extendedprice),
            func.sum(revenue()),
            func.sum(revenue() * (1 + LineItem.l_tax)),
            func.avg(LineItem.l_quantity),
            func.avg(LineItem.l_extendedprice),
            func.avg(LineItem.l_discount),
            func.count(),
        )
        .where(LineItem.l_shipdate <= date(1998, 9, 2))
        .group_by(LineItem.l_returnflag, LineItem.l_linestatus)
        .order_by(LineItem.l_returnflag, LineItem.l_linestatus)
    )


@QUERIES.add(6)
def forecast_of_revenue_change() -> Select[Any]:
    return select(func.sum(LineItem.l_extendedprice * LineItem.l_discount)).where(
        LineItem.l_shipdate >= date(1994, 1, 1),
        LineItem.l_shipdate < date(1995, 1, 1),
        LineItem.l_discount.between(Decimal("0.05"), Decimal("0.07")),
        LineItem.l_quantity < 24,
    )


@QUERIES.add(13)
def distribution_of_customers() -> Select[Any]:
    ordinary = and_(Customer.c_custkey == Order.o_custkey, Order.o_comment.not_like("%special%requests%"))
    counts = (
        select(func.count(Order.o_orderkey).label("c_count"))
        .select_from(Customer)
        .outerjoin(Order, ordinary)
        .group_by(Customer.c_custkey)
        .subquery()
    )
    return (
        select(counts.c.c_count, func.count())
        .group_by(counts.c.c_count)
        .order_by(func.count().desc(), counts.c.c_count.desc())
    )


@QUERIES.add(16)
def parts_and_their_suppliers() -> Select[Any]:
    complained_of = select(Supplier.s_suppkey).where(Supplier.s_comment.like("%Customer%Complaints%"))
    suppliers = func.count(PartSupplier.ps_suppkey.distinct())
    return (
        select(Part.p_brand, Part.p_type, Part.p_size, suppliers)
        .join(PartSupplier, Part.p_partkey == PartSupplier.ps_partkey)
        .where(
            Part.p_brand != "Brand#45",
            Part.p_type.not_like("MEDIUM POLISHED%"),
            Part.p_size.in_([49, 14, 23, 45, 19, 3, 36, 9]),
            PartSupplier.ps_suppkey.not_in(complained_of),
        )
        .group_by(Part.p_brand, Part.p_type, Part.p_size)
        .order_by(suppliers.desc(), Part.p_brand, Part.p_type, Part.p_size)
    )


@QUERIES.add(22)
def customers_who_might_buy() -> Select[Any]:
    code = func.substr(Customer.c_phone, 1, 2)
    codes = code.in_(["13", "31", "23", "29", "30", "18", "17"])
    usual = select(func.avg(Customer.c_acctbal)).where(Customer.c_acctbal > 0, codes)
    rich = (
        select(code.label("cntrycode"), Customer.c_acctbal)
        .where(
            codes,
            Customer.c_acctbal > usual.scalar_subquery(),
            ~select(Order).where(Order.o_custkey == Customer.c_custkey).exists(),
        )
        .subquery()
    )
    return (
        select(rich.c.cntrycode, func.count(), func.sum(rich.c.c_acctbal))
        .group_by(rich.c.cntrycode)
        .order_by(rich.c.cntrycode)
    )
