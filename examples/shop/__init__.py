"""A small shop over five databases. Start reading at databases.py, then routes/."""
