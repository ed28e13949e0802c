"""The Debian package in root file systems of its release (make install-test): too slow for make test."""
