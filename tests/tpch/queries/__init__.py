"""The 22 queries of TPC-H with the parameters of its validation, each a function that makes its statement."""

from tests.tpch.queries import one, three, two
from tests.tpch.queries.query import Query

QUERIES: dict[int, Query] = {
    query.number: query
    for query in sorted([*one.QUERIES, *two.QUERIES, *three.QUERIES], key=lambda query: query.number)
}
