"""The processes of `webinfer up`: their commands, supervision, and workers that start and stop."""
