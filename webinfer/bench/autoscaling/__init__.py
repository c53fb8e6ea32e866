"""Autoscaling on paper: the decision against its rivals, on synthetic, recorded and random arrivals."""
