"""What runs by schedule: retention, removal of what has ended, and proofs that sums equal their rows."""
