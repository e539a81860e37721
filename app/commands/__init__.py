"""The commands of ``portal``: each reads its options, calls use cases and prints the result."""
