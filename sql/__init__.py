"""What we ask the database: tables, named statements, migrations; nothing here runs anything."""
