"""The network around the actors: settings, tokens, sockets, HTTP, Redis (docs/architecture.md)."""
