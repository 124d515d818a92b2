"""Objectives (outer minimisation): per-sample losses of clean and adversarial images."""
