"""Static figures for papers, drawn by matplotlib: `odebench plot`."""
