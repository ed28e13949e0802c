"""Netlink without a library: the few messages that every pod needs, and nothing forks or blocks for long.

message      attributes and headers, both ways (linux/netlink.h)
connection   one socket: requests, acknowledgements, dumps, the kernel's own error text
route        rtnetlink: links, addresses, routes
nftables     nfnetlink: elements of sets and maps in one transaction
conntrack    ctnetlink: forget flows to a port
"""
