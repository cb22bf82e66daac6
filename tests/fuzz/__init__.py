"""Every decoder fed by a fuzzer that sees which branches its bytes reach: `python -m tests.fuzz --help`."""
