"""What share of a training its own validation may take."""

VALIDATION_BUDGET = 0.25
"""Largest share of a trial's passes that validation may take without a warning: full PGD-20 at
every epoch would cost more than the training."""
