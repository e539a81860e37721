"""The audit trail: sealing its events into a chain, proving it, and listing it for operators."""
