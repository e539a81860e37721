"""Who may call, and how they prove who they are: rules, permissions, keys, tokens, passwords, the identity provider."""
