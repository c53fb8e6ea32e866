"""Encoded inputs: files and bytes of pictures and sounds, checked before they are decoded."""
