"""Admin pages of alerts, and the open alerts that other pages show."""
