"""Records -> one table of numbers -> terminal, CSV, JSON, Markdown."""
