"""Tables, named statements and migrations; nothing here connects to a database."""
