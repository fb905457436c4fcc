"""The eight tables of TPC-H, as an application that grew over three databases would have them.

Customers and their orders are in one database, what was shipped in another, parts and who supplies them in a third.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated

from sqlalchemy import Index, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Key = Annotated[int, mapped_column(primary_key=True, autoincrement=False)]
Reference = Annotated[int, mapped_column(index=True)]
Money = Annotated[Decimal, mapped_column(Numeric(15, 2))]
Text = Annotated[str, mapped_column(String(200))]


class Sales(DeclarativeBase): ...


class Shipping(DeclarativeBase): ...


class Parts(DeclarativeBase): ...


class Region(Sales):
    __tablename__ = "region"

    r_regionkey: Mapped[Key]
    r_name: Mapped[Text]
    r_comment: Mapped[Text]


class Nation(Sales):
    __tablename__ = "nation"

    n_nationkey: Mapped[Key]
    n_name: Mapped[Text]
    n_regionkey: Mapped[Reference]
    n_comment: Mapped[Text]


class Customer(Sales):
    __tablename__ = "customer"

    c_custkey: Mapped[Key]
    c_name: Mapped[Text]
    c_address: Mapped[Text]
    c_nationkey: Mapped[Reference]
    c_phone: Mapped[Text]
    c_acctbal: Mapped[Money]
    c_mktsegment: Mapped[Text]
    c_comment: Mapped[Text]


class Order(Sales):
    __tablename__ = "orders"

    o_orderkey: Mapped[Key]
    o_custkey: Mapped[Reference]
    o_orderstatus: Mapped[Text]
    o_totalprice: Mapped[Money]
    o_orderdate: Mapped[date] = mapped_column(index=True)
    o_orderpriority: Mapped[Text]
    o_clerk: Mapped[Text]
    o_shippriority: Mapped[int]
    o_comment: Mapped[Text]


class LineItem(Shipping):
    __tablename__ = "lineitem"
    __table_args__ = (Index("ix_lineitem_l_partkey_l_suppkey", "l_partkey", "l_suppkey"),)

    l_orderkey: Mapped[Key]
    l_partkey: Mapped[int]
    l_suppkey: Mapped[Reference]
    l_linenumber: Mapped[Key]
    l_quantity: Mapped[Money]
    l_extendedprice: Mapped[Money]
    l_discount: Mapped[Money]
    l_tax: Mapped[Money]
    l_returnflag: Mapped[Text]
    l_linestatus: Mapped[Text]
    l_shipdate: Mapped[date] = mapped_column(index=True)
    l_commitdate: Mapped[date]
    l_receiptdate: Mapped[date]
    l_shipinstruct: Mapped[Text]
    l_shipmode: Mapped[Text]
    l_comment: Mapped[Text]


class Part(Parts):
    __tablename__ = "part"

    p_partkey: Mapped[Key]
    p_name: Mapped[Text]
    p_mfgr: Mapped[Text]
    p_brand: Mapped[Text]
    p_type: Mapped[Text]
    p_size: Mapped[int]
    p_container: Mapped[Text]
    p_retailprice: Mapped[Money]
    p_comment: Mapped[Text]


class Supplier(Parts):
    __tablename__ = "supplier"

    s_suppkey: Mapped[Key]
    s_name: Mapped[Text]
    s_address: Mapped[Text]
    s_nationkey: Mapped[Reference]
    s_phone: Mapped[Text]
    s_acctbal: Mapped[Money]
    s_comment: Mapped[Text]


class PartSupplier(Parts):
    __tablename__ = "partsupp"

    ps_partkey: Mapped[Key]
    ps_suppkey: Mapped[Key] = mapped_column(index=True)
    ps_availqty: Mapped[int]
    ps_supplycost: Mapped[Money]
    ps_comment: Mapped[Text]


BASES = (Sales, Shipping, Parts)
