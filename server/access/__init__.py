"""Who may do what, as callers may ask and change it: locks, and what the loaded roles allow."""
