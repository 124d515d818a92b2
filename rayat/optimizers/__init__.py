"""Optimisers by name, one file each."""
