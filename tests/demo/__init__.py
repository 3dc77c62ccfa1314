"""A walk through External Audit Storage for newcomers, by real commands against a sandbox of AWS: `make demo`."""
