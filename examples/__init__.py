"""Programs that show manybase at work."""
