"""Cross-database select: one SELECT over tables of several databases, planned while SQLAlchemy compiles it."""
