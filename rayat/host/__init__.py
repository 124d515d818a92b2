"""What the machine at hand has: memory, cores, other Rays."""
