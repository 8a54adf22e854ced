"""The agent's eyes and limits: its context from the code, its hooks, and what it may spend."""
