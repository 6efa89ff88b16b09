"""Consensus protocols, one folder each; only catalogue.py sees them all. Pure."""
