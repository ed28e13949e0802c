"""Exec, attach and port-forward: tokens, SPDY/3.1 and WebSocket protocols without I/O, and who serves them.

spdy, websocket, http_head      bytes in, events out; calls in, bytes out
remotecommand*, portforward     the Kubernetes protocols on top of them, still without I/O
command_session, forward_session, visit    sockets and file descriptors (asyncio)
process/                        the process that takes clients in and runs all of the above
server, service, launch         the daemon's half: port, tokens, the process and its sessions
control, wire                   what the two halves say to each other
backend                         what the rest of the runtime has to offer
"""
