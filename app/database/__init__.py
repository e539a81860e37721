"""How the process reaches its database: connections, shared statements, migrations, and what a failure means."""
