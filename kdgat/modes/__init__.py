"""Modes: what the agent is for at the moment, which tools it has, and what it is told."""
