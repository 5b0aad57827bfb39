"""Pages of users, their groups and API tokens, and who may grant what."""
