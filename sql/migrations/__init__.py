"""The chain of migrations that creates the schema, the same on both databases."""
