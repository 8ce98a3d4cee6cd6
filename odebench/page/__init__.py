"""One self-contained HTML page of results: `odebench report`."""
