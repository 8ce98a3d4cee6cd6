"""What would spoil a measurement on this machine: facts, and a verdict on each. Torch-free; a worker asks torch."""
