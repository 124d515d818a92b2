"""Runs that others recorded, brought into a ledger folder that compare and replay read."""
