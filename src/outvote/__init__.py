"""outvote: a plain Python class, replicated on n machines, right while fewer than a third of them lie."""

__version__ = "0.1.0"
