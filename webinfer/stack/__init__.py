"""The processes of `webinfer up`: commands, supervision, workers that come and go."""
