"""`python -m odebench`."""

from odebench.cli.app import main

main()
