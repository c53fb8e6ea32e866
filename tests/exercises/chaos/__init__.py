"""Faults of every kind under load through `webinfer up`: nothing lost, nothing wrong, all recovered."""
