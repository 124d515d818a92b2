"""Attack schedules: what the training attack is at each moment of a training, one file each."""
