"""What each command of ``portal`` does: it reads its options, calls use cases and shows their answers."""
