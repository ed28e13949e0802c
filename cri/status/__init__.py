"""Version, Status and the runtime's own configuration."""
