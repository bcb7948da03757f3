"""What several baselines need: partitions, replay, masks, Fisher information."""
