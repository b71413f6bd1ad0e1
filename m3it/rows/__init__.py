"""One row: what it is, its pictures, its line in a shard, its conversation."""
