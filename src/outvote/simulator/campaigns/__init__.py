"""Systematic searches beside the random swarm: each case has a name, and the name is all that a replay needs."""
