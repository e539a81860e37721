"""Access to the database: connections, batches of requests, migrations, and the errors that failures become."""
