"""Configuration: one schema, and what reads, checks and prints it."""
