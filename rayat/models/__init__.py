"""Networks by name, one file each; inputs are pixels in [0, 1], normalisation is inside."""
