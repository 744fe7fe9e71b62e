"""The processes that work: the protocol, the server in them, the client that asks."""
