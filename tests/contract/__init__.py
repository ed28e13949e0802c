"""Suites that a fake and the real thing both pass: a subclass brings the fixtures."""
