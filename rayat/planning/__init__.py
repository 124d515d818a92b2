"""What a study will cost and what it would fail of, before it runs."""
