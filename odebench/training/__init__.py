"""Training runs: the cells of suites of `kind: train`."""
