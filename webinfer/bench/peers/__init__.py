"""The same models and inputs through webinfer and its peers, in turn."""
