"""The ledger: what is reserved and what is used of every capped thing, exact under any concurrency and any crash."""
