"""What a liar could say in the form without signatures, one lie a file. Used by adversaries only."""
