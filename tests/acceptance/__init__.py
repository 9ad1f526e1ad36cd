"""Real processes, as a user has them; some are killed."""
