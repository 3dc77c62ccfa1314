"""Session recordings: uploads, what becomes of them, the index of sessions, and reading recordings again."""
