"""meta-spotstream: its generated files, and its check against the real layers."""
