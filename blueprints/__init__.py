"""How the web reaches the portal: each handler parses, calls one use case and answers."""
