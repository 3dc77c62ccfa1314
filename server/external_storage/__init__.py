"""External Audit Storage: its spec and rules, draft and promotion, infrastructure, policy and connection test."""
