"""Images: the CRI face of the store."""
