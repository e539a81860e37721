"""The use cases, one room per part of the business; each owns its transaction."""
