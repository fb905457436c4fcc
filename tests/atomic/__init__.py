"""Commits over several databases: killed at each step, failing in every way we know, and recovered."""
