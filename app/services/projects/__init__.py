"""Projects: creating, listing, changing and deleting them, and giving them activation codes."""
