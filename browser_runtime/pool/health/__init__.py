"""The health of sessions, models and devices, and how long operations take."""
