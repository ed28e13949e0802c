"""The daemon: CRI services over gRPC and everything that composes the layers below."""
