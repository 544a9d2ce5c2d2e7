"""The command line: what is typed becomes a call, and what is returned is printed."""
