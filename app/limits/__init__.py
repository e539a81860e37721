"""Rate limits: of devices' requests, of guesses, and of requests for messages."""
