"""The model and what a client does with it in one round."""
