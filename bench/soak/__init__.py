"""A soak: all kinds of calls for a long time, while workers are killed and the database is restarted."""
