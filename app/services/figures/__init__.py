"""Reading the figures that the database keeps, and the totals of lists."""
