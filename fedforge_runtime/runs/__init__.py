"""A run from its request to the report beside it, whoever asked for it."""
