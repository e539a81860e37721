"""The lists that operators page through, with their totals."""
