"""Everything that a model passes before it enters the store."""
