"""CRI v1: api.proto and what protoc makes of it."""
