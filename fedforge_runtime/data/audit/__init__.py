"""The audit of a dataset: what is in it that should not be, and what is not where it should be."""
