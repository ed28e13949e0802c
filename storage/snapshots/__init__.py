"""How layers lie on disk: a protocol, and its forms."""
