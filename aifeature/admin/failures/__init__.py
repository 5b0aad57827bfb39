"""The page of failed web requests."""
