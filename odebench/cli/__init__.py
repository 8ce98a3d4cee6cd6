"""The command line: commands, what a terminal shows while they run, explanations, exit codes, completion."""
