"""The front door: the `webinfer` command, the local stack, the in-process integration."""
