"""Pods by a real kubelet without an API server: `make kubelet-test` here, tests/node in a virtual machine.

What the kubelet does only for a cluster is in tests/cluster: projected volumes with their tokens, config maps
and secrets, in-place resize, runtime classes, the grace that a deletion names.
"""
