"""How projects get on: their figures, agents and tasks as GraphQL shows them, and what they all come to."""
