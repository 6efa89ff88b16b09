"""Lies in PBFT's words, one a file."""
