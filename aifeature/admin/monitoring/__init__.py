"""The overview of on-call, and the workers."""
