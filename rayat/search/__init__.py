"""Searchers: which values of the nuisance axes each arm tries, one file each."""
