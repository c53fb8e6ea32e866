"""How many replicas there should be: sessions of a pool, workers of a queue. Pure."""
