"""The lists of the admin API, page by page with their totals."""
