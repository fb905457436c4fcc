"""Chaos: atomic commits under processes and servers that are killed at random; afterwards every database must agree.

Workers commit units (workers, delays) and note what they were told (ledger). Recoverers race them (recoverers). Both
are killed and replaced (herd), servers too (restarts), until enough has happened (trial); then everything is recovered
and compared (verdict). `python -m tests.chaos --help` runs many trials; tests/atomic/test_chaos.py a few.
"""
