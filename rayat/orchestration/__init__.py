"""The only room that imports Ray: sweeps, trials, trainers, the scheduler adapter."""
