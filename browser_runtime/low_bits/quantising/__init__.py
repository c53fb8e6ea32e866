"""From 32-bit weights to packed ones: calibration, scales, codes, and the bits that each tensor gets."""
