"""OCI runtimes: spec generation, command-line drivers, and the monitor process."""
