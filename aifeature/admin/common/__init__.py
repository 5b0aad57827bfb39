"""Base classes, dialogs, names and display formats that all admin pages share."""
