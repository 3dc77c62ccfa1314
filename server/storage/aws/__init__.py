"""Storage in an AWS account: what its engine is asked."""
