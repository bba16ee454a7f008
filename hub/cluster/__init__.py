"""The other nodes that share the store: who holds what of whom, and words from node to node (ADR 0011)."""
