"""From measured runs to the table that says which browser a model goes to: see README.md."""
