"""Metered usage: events in, sums out, and the upkeep of both."""
