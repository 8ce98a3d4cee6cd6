"""The regression gate: two sides, and a verdict for each cell and metric. Torch-free."""
