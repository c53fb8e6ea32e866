"""One module per command: parses its arguments, calls what does the work, prints the result."""
