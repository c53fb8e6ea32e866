"""What a person must be told: rules, the memory of what was told, and delivery."""
