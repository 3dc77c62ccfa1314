"""Integrations: the AWS roles that the service may assume, and the tokens with which it vouches for itself."""
