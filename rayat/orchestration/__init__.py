"""What imports Ray: the cluster, trials, trainers, the scheduler's adapter."""
