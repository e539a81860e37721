"""Documents of GraphQL: reading one within its limits, knowing what it costs, and running it."""
