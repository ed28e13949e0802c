"""What carries orders out inside the monitor: a warm process, and what that forks (docs/adr/0026)."""
