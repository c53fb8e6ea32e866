"""Serves the page, transformers.js and the models on loopback; a web page of one's own needs the like."""

import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = Path(__file__).parent / "page"


class Handler(SimpleHTTPRequestHandler):
    folders: dict[str, str]
    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        first, _, rest = path.split("?", maxsplit=1)[0].lstrip("/").partition("/")
        return f"{self.folders[first]}/{rest}" if first in self.folders else f"{PAGE}/{first}"

    def log_message(self, *args: object) -> None:
        pass


def serve(npm: str, models: str) -> str:
    """The address of the page."""
    Handler.folders = {"npm": npm, "models": models}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/index.html"
