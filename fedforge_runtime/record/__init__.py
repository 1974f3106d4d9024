"""What a run leaves in its folder: records, checkpoints, results, and what they say of it."""
