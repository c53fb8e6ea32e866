"""One file a command: words from the command line in, one call, what came back printed."""
