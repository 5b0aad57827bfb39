"""The overview for on-call, and the page of workers."""
