"""Early-stopping policies: pure, deterministic, a function of the reports in order."""
