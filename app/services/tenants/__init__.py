"""Tenants: who they are and what anybody may see of them."""
