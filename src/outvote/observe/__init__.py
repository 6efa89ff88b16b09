"""What happened, as typed events and counters."""
