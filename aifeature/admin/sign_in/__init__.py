"""Pages of users, groups and API tokens, and the rules for changing accounts."""
