"""The worker's side of each family: one module a row of `contract/families.py`."""
