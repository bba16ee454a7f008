"""Presence in Redis: who is online, where, since when, for phones and for other services."""
