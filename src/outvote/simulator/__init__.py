"""The world as data, from one seed, driving the same turn as the node."""
