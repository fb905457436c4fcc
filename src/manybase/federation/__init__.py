"""Federation: one SELECT over several databases."""
