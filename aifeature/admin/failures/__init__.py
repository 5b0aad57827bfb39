"""Lists failed web requests by the reference their user was shown."""
