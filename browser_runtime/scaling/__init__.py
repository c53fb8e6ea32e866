"""The number of replicas there should be: sessions of a pool, workers of a queue. Pure."""
