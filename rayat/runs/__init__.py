"""What a run is, without Ray: its driver, its search, those who follow it."""
