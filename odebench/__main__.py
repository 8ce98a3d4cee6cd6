"""`python -m odebench`, and the console script."""

from odebench.cli import interrupts

interrupts.end_at_once()  # before anything slow is imported


def main() -> None:
    """Run the command line; it ends the process."""
    from odebench.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
