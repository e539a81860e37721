"""The HTTP API as data, and the OpenAPI document made from it."""
