"""Lists alerts and shows the open ones on other pages."""
