"""Documentation: sites, chunks, an index, search; and figures of papers."""
