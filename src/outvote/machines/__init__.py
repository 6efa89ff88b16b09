"""The replicated state: the user's face, the client table, the executor. Pure."""
