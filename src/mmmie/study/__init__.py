"""Many files at once: what is meant, workers, every result with its files, and one table."""
