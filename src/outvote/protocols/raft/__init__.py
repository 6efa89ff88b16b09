"""Raft: crash faults only. One lying machine breaks it; see README.md."""
