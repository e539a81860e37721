"""Operators: how the vendor's staff and their programs sign in, and what they may do."""
