"""GraphQL: what each field of the schema answers; one module for each noun, and the list of all of them."""
