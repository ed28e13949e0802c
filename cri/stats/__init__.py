"""What containers and pods use, read from their cgroups."""
