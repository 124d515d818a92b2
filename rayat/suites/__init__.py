"""Evaluation suites: how many images stay rightly classified under an attack, one file each."""
