"""The own OCI runtime, by its command line."""
