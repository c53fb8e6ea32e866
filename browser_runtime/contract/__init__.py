"""What every room may know: vocabulary, messages, errors, capabilities. Light, no I/O."""
