"""Every path of a home, and the artifacts in it."""
