"""Other tools that may watch a run: each gets its epochs from the ledger, and can harm nothing."""
