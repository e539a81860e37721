"""Authentication and authorization: callers, permissions, keys, tokens, passwords, the identity provider."""
