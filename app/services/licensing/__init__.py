"""Licensing: codes, the devices they bind, and the tokens those devices hold."""
