"""The mailroom in Redis: what phones sent to desktops, and what became of it (ADR 0008)."""
