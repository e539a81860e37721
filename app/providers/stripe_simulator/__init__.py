"""A small Stripe for development and tests: its objects, its events and its time, kept in a file of its own."""
