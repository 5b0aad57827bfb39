"""Lists jobs and shows the timeline of each."""
