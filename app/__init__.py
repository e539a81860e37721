"""What the portal means: use cases, pure rules and the plumbing they stand on."""
