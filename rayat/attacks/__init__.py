"""Attacks (inner maximisation): x' in the eps-ball and the pixel box, one file each."""
