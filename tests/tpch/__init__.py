"""TPC-H over three databases: its tables, its 22 queries as SQLAlchemy statements, exact data and published answers.

Which database answers what is in `models`; ``python -m tests.tpch --help`` measures at any scale.
"""
