"""Containers: one file a verb."""
