"""Notes for many customers, a database each. Start reading at databases.py, then app.py."""
