"""How many workers each queue should have: decided here, done by a scaler."""
