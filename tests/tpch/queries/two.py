"""The queries that two databases answer.

PostgreSQL and MariaDB 3, 4, 10, 12, 18; MariaDB and SQLite 14, 15, 17, 19; PostgreSQL and SQLite 2, 11.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import aliased

from tests.tpch.models import Customer, LineItem, Nation, Order, Part, PartSupplier, Region, Supplier
from tests.tpch.queries.query import Queries
from tests.tpch.queries.terms import divisor, revenue

QUERIES = Queries()


@QUERIES.add(2)
def cheapest_supplier() -> Select[Any]:
    cheapest = (
        select(func.min(PartSupplier.ps_supplycost))
        .join(Supplier, Supplier.s_suppkey == PartSupplier.ps_suppkey)
        .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
        .join(Region, Nation.n_regionkey == Region.r_regionkey)
        .where(Part.p_partkey == PartSupplier.ps_partkey, Region.r_name == "EUROPE")
        .correlate(Part)
        .scalar_subquery()
    )
    return (
        select(
            Supplier.s_acctbal,
            Supplier.s_name,
            Nation.n_name,
            Part.p_partkey,
            Part.p_mfgr,
            Supplier.s_address,
            Supplier.s_phone,
            Supplier.s_comment,
        )
        .select_from(Part)
        .join(PartSupplier, Part.p_partkey == PartSupplier.ps_partkey)
        .join(Supplier, Supplier.s_suppkey == PartSupplier.ps_suppkey)
        .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
        .join(Region, Nation.n_regionkey == Region.r_regionkey)
        .where(
            Part.p_size == 15,
            Part.p_type.like("%BRASS"),
            Region.r_name == "EUROPE",
            PartSupplier.ps_supplycost == cheapest,
        )
        .order_by(Supplier.s_acctbal.desc(), Nation.n_name, Supplier.s_name, Part.p_partkey)
        .limit(100)
    )


@QUERIES.add(3, order=(1, 2))
def shipping_priority() -> Select[Any]:
    paid = func.sum(revenue())
    return (
        select(LineItem.l_orderkey, paid, Order.o_orderdate, Order.o_shippriority)
        .select_from(Customer)
        .join(Order, Customer.c_custkey == Order.o_custkey)
        .join(LineItem, LineItem.l_orderkey == Order.o_orderkey)
        .where(
            Customer.c_mktsegment == "BUILDING",
            Order.o_orderdate < date(1995, 3, 15),
            LineItem.l_shipdate > date(1995, 3, 15),
        )
        .group_by(LineItem.l_orderkey, Order.o_orderdate, Order.o_shippriority)
        .order_by(paid.desc(), Order.o_orderdate)
        .limit(10)
    )


@QUERIES.add(4)
def orders_by_priority() -> Select[Any]:
    late = select(LineItem).where(
        LineItem.l_orderkey == Order.o_orderkey, LineItem.l_commitdate < LineItem.l_receiptdate
    )
    return (
        select(Order.o_orderpriority, func.count())
        .where(Order.o_orderdate >= date(1993, 7, 1), Order.o_orderdate < date(1993, 10, 1), late.exists())
        .group_by(Order.o_orderpriority)
        .order_by(Order.o_orderpriority)
    )


@QUERIES.add(10, order=(2,))
def returned_items() -> Select[Any]:
    lost = func.sum(revenue())
    customer = (Customer.c_custkey, Customer.c_name)
    rest = (Customer.c_acctbal, Nation.n_name, Customer.c_address, Customer.c_phone, Customer.c_comment)
    return (
        select(*customer, lost, *rest)
        .select_from(Customer)
        .join(Order, Customer.c_custkey == Order.o_custkey)
        .join(LineItem, LineItem.l_orderkey == Order.o_orderkey)
        .join(Nation, Customer.c_nationkey == Nation.n_nationkey)
        .where(
            Order.o_orderdate >= date(1993, 10, 1), Order.o_orderdate < date(1994, 1, 1), LineItem.l_returnflag == "R"
        )
        .group_by(*customer, *rest)
        .order_by(lost.desc())
        .limit(20)
    )


@QUERIES.add(11, order=(1,))
def important_stock() -> Select[Any]:
    value = func.sum(PartSupplier.ps_supplycost * PartSupplier.ps_availqty)

    def in_germany(*columns: Any) -> Select[Any]:
        return (
            select(*columns)
            .select_from(PartSupplier)
            .join(Supplier, PartSupplier.ps_suppkey == Supplier.s_suppkey)
            .join(Nation, Supplier.s_nationkey == Nation.n_nationkey)
            .where(Nation.n_name == "GERMANY")
        )

    total = in_germany(value * Decimal("0.0001")).scalar_subquery()
    return (
        in_germany(PartSupplier.ps_partkey, value)
        .group_by(PartSupplier.ps_partkey)
        .having(value > total)
        .order_by(value.desc())
    )


@QUERIES.add(12)
def shipping_modes() -> Select[Any]:
    urgent = or_(Order.o_orderpriority == "1-URGENT", Order.o_orderpriority == "2-HIGH")
    patient = and_(Order.o_orderpriority != "1-URGENT", Order.o_orderpriority != "2-HIGH")
    return (
        select(LineItem.l_shipmode, func.sum(case((urgent, 1), else_=0)), func.sum(case((patient, 1), else_=0)))
        .join(Order, Order.o_orderkey == LineItem.l_orderkey)
        .where(
            LineItem.l_shipmode.in_(["MAIL", "SHIP"]),
            LineItem.l_commitdate < LineItem.l_receiptdate,
            LineItem.l_shipdate < LineItem.l_commitdate,
            LineItem.l_receiptdate >= date(1994, 1, 1),
            LineItem.l_receiptdate < date(1995, 1, 1),
        )
        .group_by(LineItem.l_shipmode)
        .order_by(LineItem.l_shipmode)
    )


@QUERIES.add(14, quotients={0})
def effect_of_promotions() -> Select[Any]:
    promoted = case((Part.p_type.like("PROMO%"), revenue()), else_=0)
    return (
        select(Decimal("100.00") * func.sum(promoted) / divisor(func.sum(revenue())))
        .join(Part, LineItem.l_partkey == Part.p_partkey)
        .where(LineItem.l_shipdate >= date(1995, 9, 1), LineItem.l_shipdate < date(1995, 10, 1))
    )


@QUERIES.add(15)
def top_supplier() -> Select[Any]:
    paid = (
        select(LineItem.l_suppkey.label("supplier_no"), func.sum(revenue()).label("total_revenue"))
        .where(LineItem.l_shipdate >= date(1996, 1, 1), LineItem.l_shipdate < date(1996, 4, 1))
        .group_by(LineItem.l_suppkey)
        .cte("revenue")
    )
    return (
        select(Supplier.s_suppkey, Supplier.s_name, Supplier.s_address, Supplier.s_phone, paid.c.total_revenue)
        .join(paid, Supplier.s_suppkey == paid.c.supplier_no)
        .where(paid.c.total_revenue == select(func.max(paid.c.total_revenue)).scalar_subquery())
        .order_by(Supplier.s_suppkey)
    )


@QUERIES.add(17, quotients={0})
def revenue_from_small_quantities() -> Select[Any]:
    item = aliased(LineItem, name="item")
    small = select(Decimal("0.2") * func.avg(item.l_quantity)).where(item.l_partkey == Part.p_partkey)
    return (
        select(func.sum(LineItem.l_extendedprice) / Decimal("7.0"))
        .join(Part, Part.p_partkey == LineItem.l_partkey)
        .where(
            Part.p_brand == "Brand#23",
            Part.p_container == "MED BOX",
            LineItem.l_quantity < small.correlate(Part).scalar_subquery(),
        )
    )


@QUERIES.add(18, order=(4, 3))
def large_volume_customers() -> Select[Any]:
    quantity = func.sum(LineItem.l_quantity)
    order = (Customer.c_name, Customer.c_custkey, Order.o_orderkey, Order.o_orderdate, Order.o_totalprice)
    large = select(LineItem.l_orderkey).group_by(LineItem.l_orderkey).having(quantity > 300)
    return (
        select(*order, quantity)
        .select_from(Customer)
        .join(Order, Customer.c_custkey == Order.o_custkey)
        .join(LineItem, Order.o_orderkey == LineItem.l_orderkey)
        .where(Order.o_orderkey.in_(large))
        .group_by(*order)
        .order_by(Order.o_totalprice.desc(), Order.o_orderdate)
        .limit(100)
    )


@QUERIES.add(19)
def discounted_revenue() -> Select[Any]:
    def wanted(brand: str, containers: list[str], quantity: int, size: int) -> Any:
        return and_(
            Part.p_brand == brand,
            Part.p_container.in_(containers),
            LineItem.l_quantity.between(quantity, quantity + 10),
            Part.p_size.between(1, size),
            LineItem.l_shipmode.in_(["AIR", "AIR REG"]),
            LineItem.l_shipinstruct == "DELIVER IN PERSON",
        )

    return (
        select(func.sum(revenue()))
        .join(Part, Part.p_partkey == LineItem.l_partkey)
        .where(
            or_(
                wanted("Brand#12", ["SM CASE", "SM BOX", "SM PACK", "SM PKG"], 1, 5),
                wanted("Brand#23", ["MED BAG", "MED BOX", "MED PKG", "MED PACK"], 10, 10),
                wanted("Brand#34", ["LG CASE", "LG BOX", "LG PACK", "LG PKG"], 20, 15),
            )
        )
    )
