"""Decides how many workers each queue should have; a scaler starts and stops them."""
