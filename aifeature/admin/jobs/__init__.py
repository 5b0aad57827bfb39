"""Pages of jobs, each with its timeline."""
