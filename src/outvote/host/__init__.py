"""Everything that touches the world: the turn, the links, the node."""
