"""Images, layers and container file systems."""
