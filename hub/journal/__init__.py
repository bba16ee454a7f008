"""The journal in Redis: what desktops said to phones and should not be lost (ADR 0009)."""
