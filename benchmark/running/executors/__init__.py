"""Run jobs in this process, in other processes on this machine, or on a cluster with Ray or Slurm."""
