"""Keys, digests and seals, over PyNaCl and hashlib; nothing home-made. Pure."""
