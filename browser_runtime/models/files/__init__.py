"""Files of models on disk: paths, JSON, graphs, hashes, locks and folders for work."""
