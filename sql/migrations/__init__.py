"""The one chain of migrations that builds the schema, the same on both databases."""
