"""Comparison of arms: time to target, matched robustness, intervals, plots, the HTML report."""
