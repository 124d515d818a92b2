"""How robust a network is: checkpoints of a run, and networks trained elsewhere."""
