"""How often and how fast somebody may ask or guess."""
