"""A hostile plugin: importing it never ends."""

while True:
    pass
