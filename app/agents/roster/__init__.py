"""The agents, one module each; the registry finds them."""
