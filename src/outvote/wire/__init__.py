"""Frames and messages as bytes. Pure."""
