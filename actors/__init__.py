"""The hub's behaviour, on the standard library alone: no sockets, no JSON, no Redis (docs/architecture.md)."""
