"""Faults of a federation of processes: strike one at a random moment of a round, and look at what becomes of it."""
