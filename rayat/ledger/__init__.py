"""The ledger: an append-only log as the state, Parquet tables as its projections."""
