"""One epoch loop, evaluation, cost counters, checkpoints: everything a trial does, without Ray."""
