"""Components that protocols without a leader are made of: broadcast, agreement, coin, common subset, encryption."""
