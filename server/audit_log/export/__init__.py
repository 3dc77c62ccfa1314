"""Export: stored batches as chunks that never change, listed over a snapshot and given in the order of sequences."""
