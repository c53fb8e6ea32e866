"""Vocabulary, messages, errors and capabilities, for every room to import. Light."""
