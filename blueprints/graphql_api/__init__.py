"""GraphQL over HTTP: who may call, how a request is read, and how its answer is written."""
