"""CRI v1: api.proto and the stubs generated from it by tools/generate_proto.py."""
