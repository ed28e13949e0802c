"""From what the CRI asks for to an OCI runtime-spec 1.x document: pure functions, no files, no protobuf.

inputs.py      frozen values: everything a container or a pause container needs to be told
container.py   generate(): the one entry for containers;  pause.py: the one for sandboxes
the rest       one topic each, one small function per rule
"""
