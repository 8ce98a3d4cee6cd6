"""Suite files: the grammar, its located findings, and what is written out again. Torch-free."""
