"""Epochs that trials have in common, trained once (docs/sharing.md)."""
