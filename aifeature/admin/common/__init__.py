"""What all admin pages share: base classes, dialogs, names and how values are shown."""
