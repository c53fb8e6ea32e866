"""The line between worker and page: frames, protocol, WebSocket bridge, HTTP server."""
