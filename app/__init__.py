"""What the portal means: use cases, pure rules and the plumbing they stand on."""

# What the server calls itself towards its framework and in its challenges.
APP_NAME = "addon-portal"
