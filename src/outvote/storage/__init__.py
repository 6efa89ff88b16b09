"""The log of promises and the snapshots of state, on a disk or in memory."""
