"""What the portal means: use cases, pure rules and the plumbing they stand on."""

# The name of the Sanic application.
APP_NAME = "addon-portal"
