"""Experiments of the laboratory as tables and pictures: the same for terminals, Markdown and pages."""
