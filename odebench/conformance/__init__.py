"""What a solver or a gradient claims, put to the test before any timing. Every check runs in a worker of its own."""
