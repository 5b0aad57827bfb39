"""Lists who changed which control, when and why."""
