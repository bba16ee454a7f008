"""Faults under live traffic, and whether what was promised was kept (docs/hostile.md)."""
