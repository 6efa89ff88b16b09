"""The public description of a cluster, and the files that hold it and the private keys."""
