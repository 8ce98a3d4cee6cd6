"""The libraries people use, one file each. Importable without torch, jax or any of them."""
