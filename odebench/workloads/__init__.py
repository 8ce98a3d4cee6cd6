"""The models people train. Importing this registers them; nothing here imports torch."""
