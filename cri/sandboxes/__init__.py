"""Pod sandboxes: one file a verb."""
