"""Tokens that are taken back before they run out, on every node (docs/protocol.md, "Revocation")."""
