"""`python -m odebench`."""

from odebench.cli import main

main()
