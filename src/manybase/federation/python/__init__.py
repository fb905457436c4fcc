"""The executor in plain Python: joins, filters, groups, sorts. Most statements need no more; it depends on nothing."""
