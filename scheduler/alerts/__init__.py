"""Alerts: rules, the state of open alerts, and delivery of notifications."""
