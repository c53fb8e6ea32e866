"""The Redis behind the app: its URL, clients for it, the broker of a running `webinfer up`."""
