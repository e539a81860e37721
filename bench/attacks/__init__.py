"""Few requests that would stop a server for everybody: what other devices notice of them."""
