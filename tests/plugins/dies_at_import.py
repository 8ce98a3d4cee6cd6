"""A hostile plugin: importing it ends the process."""

import os

os._exit(0)
