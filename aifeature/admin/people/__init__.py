"""Users who stand out, and what to do about them."""
