"""Liars, one sin a file."""
