"""`HUB_WORKERS=N`: a parent that keeps N processes on one port, each of them a node (ADR 0012)."""
