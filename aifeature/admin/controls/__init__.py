"""Pages of features: limits, kill switches, launches and rate overrides."""
