"""Versions that a stage's own version goes by, apart from what is slow to import."""

from __future__ import annotations

MESSAGES_VERSION = 1
"""Goes up when the same windows give other sequences."""
