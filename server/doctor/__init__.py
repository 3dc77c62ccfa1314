"""The doctor: what is wrong with a data directory, found by reading alone; one module for each subject."""
