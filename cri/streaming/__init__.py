"""Exec, attach and port-forward: tokens, SPDY/3.1 and WebSocket protocols without I/O, and the server.

spdy, websocket, http_head      bytes in, events out; calls in, bytes out
remotecommand*, portforward     the Kubernetes protocols on top of them, still without I/O
command_session, forward_session, server    sockets and file descriptors (asyncio)
backend                         what the rest of the runtime has to offer
"""
