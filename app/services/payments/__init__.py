"""What tenants pay through Stripe: checkouts, changes of plan, purchases of codes, and what follows from them."""
