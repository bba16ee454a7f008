"""The benchmark: what a message, a connection and a handshake cost the hub, beside what they cost its peers."""
