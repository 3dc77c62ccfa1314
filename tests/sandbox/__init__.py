"""An AWS account for tests: moto's server behind a gate that refuses what AWS would. See docs/aws-sandbox.md."""
