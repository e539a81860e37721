"""The directory of tenants: finding one by its slug, and what a tenant's fields may hold."""
