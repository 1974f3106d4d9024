"""What a site holds: its rows, its shard, and what it is told of a run."""
