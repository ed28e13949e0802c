"""Registries: where a name is to be found, with which credentials, and the conversation itself."""
