"""What the hub answers over HTTP, and where sockets come in."""
