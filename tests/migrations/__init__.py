"""Migrations: who may run them, what they do, and what is left of those that fail."""
