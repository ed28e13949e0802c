"""The streaming process: takes clients in, and speaks with them; the daemon gives it descriptors.

main        starts, gives up what it can do, serves
confine     what it keeps, and what it gives up
front       the listener: who is let in, who waits, who has to go
admission   the table of those that have shown no token yet
remote      sessions, as the daemon makes them

Neither gRPC nor protobuf are in it; what it imports it imports before it gives up files.
"""
