"""The `outvote` command."""
