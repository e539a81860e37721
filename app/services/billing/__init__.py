"""Plans and the subscriptions that hold them."""
