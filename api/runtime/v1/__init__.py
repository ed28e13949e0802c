"""CRI v1: api.proto and the stubs generated from it by tools/generate_proto.py.

Clients (tests, ``podwright ops``) use the stubs of api_pb2_grpc. The daemon makes its handlers from the
descriptors, and what is not built answers UNIMPLEMENTED by name (cri/server.py).
"""
