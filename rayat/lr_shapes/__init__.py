"""Learning-rate shapes: pure functions of training progress, one file each."""
