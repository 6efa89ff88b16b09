"""Secure channels and socket settings that replicas and clients share. Above it, nobody sees a certificate."""
