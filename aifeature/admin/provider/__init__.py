"""Pages of provider accounts and of models with their circuit breakers."""
