"""The API's paths, by subject."""
