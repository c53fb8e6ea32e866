"""The connection of worker and page: frames, protocol, WebSocket bridge, HTTP server."""
