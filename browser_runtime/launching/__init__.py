"""Find browsers and drivers on this machine; start and stop them, leaving nothing behind."""
