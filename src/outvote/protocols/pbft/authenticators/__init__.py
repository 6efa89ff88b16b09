"""PBFT without signatures between replicas: see this folder's README."""
