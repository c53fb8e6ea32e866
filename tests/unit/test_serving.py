"""The page server: isolation headers everywhere, nothing outside the page, ranges, one host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from browser_runtime.contract.errors import UnknownModel
from browser_runtime.link.http_server import PageServer


class OneModel:
    """Serves one file under the name `org/tiny`."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def resolve_file(self, name: str, relative_path: str, version: str | None = None) -> Path:
        if (name, relative_path, version) == ("org/tiny", "onnx/model.onnx", "1a"):
            return self.file
        raise UnknownModel(name, "not here")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PageServer]:
    file = tmp_path / "model.onnx"
    file.write_bytes(bytes(range(100)))
    server = PageServer(OneModel(file))
    await server.open()
    yield server
    await server.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def test_pages_are_cross_origin_isolated(server: PageServer, client: aiohttp.ClientSession) -> None:
    for path in (
        "/page/frames.js",
        "/page/index.html",
        "/models/org/tiny@1a/onnx/model.onnx",
        "/page/none.js",
    ):
        async with client.get(server.origin + path) as answer:
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin", path
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_modules_have_the_type_that_browsers_demand(
    server: PageServer, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{server.origin}/page/frames.js") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/javascript"


async def test_a_range_of_a_model(server: PageServer, client: aiohttp.ClientSession) -> None:
    url = f"{server.origin}/models/org/tiny@1a/onnx/model.onnx"
    async with client.get(url, headers={"Range": "bytes=10-19"}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == "bytes 10-19/100"
        assert await answer.read() == bytes(range(10, 20))


@pytest.mark.parametrize(
    "path",
    [
        "/page/../pool.py",
        "/page/%2e%2e/pool.py",
        "/page/..%2fpool.py",
        "/page/README.md",
        "/page/node_modules/typescript/package.json",
        "/models/org/other/onnx/model.onnx",
        "/models/org/tiny@1a/../../../etc/passwd",
        "/models/org/tiny@1b/onnx/model.onnx",
        "/models/org/tiny/onnx/model.onnx",
        "/models/%2e%2e/%2e%2e/etc/passwd",
        "/page/%00.json",
        "/page/a%00b/../main.js",
        f"/page/{'x' * 5000}.js",
        f"/page/{'x/' * 2000}main.js",
        "/page/%5c..%5cpool.py",
        "/page/%ed%a0%80.js",
        "/page/engines",
        "/models/org/tiny@1a/%00",
        f"/models/{'x' * 5000}/config.json",
        "/",
    ],
)
async def test_nothing_else_is_served(server: PageServer, client: aiohttp.ClientSession, path: str) -> None:
    from yarl import URL

    async with client.get(URL(server.origin + path, encoded=True)) as answer:
        assert answer.status == 404


async def test_another_host_name_is_refused(server: PageServer, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{server.origin}/page/frames.js", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
