"""Who may come in: keys, tokens, and new tokens on live connections (docs/protocol.md, "Tokens")."""
