"""Data pruning: which training images are worth attacking, one selector a file."""
