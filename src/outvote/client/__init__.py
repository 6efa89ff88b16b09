"""Ask a cluster: number, sign, retry, and accept f + 1 equal answers."""
