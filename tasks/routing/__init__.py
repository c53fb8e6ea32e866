"""Where a request goes: by its caller's word, by what was measured, by who serves."""
