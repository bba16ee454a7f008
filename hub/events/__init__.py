"""Presence changes as they come, for other services: one task reads them for all who listen."""
