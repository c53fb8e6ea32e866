"""Periodic work on the sessions: scaling, measuring, recycling."""
