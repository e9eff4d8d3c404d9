"""Both kinds of store: a folder, and a bucket of an S3 server that runs beside the tests."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.store import Store

BUCKET = "bench-tests"


class Server:
    """An S3 server that has the bucket; it can go away and come back with all that it holds.

    Attributes:
        address: where it is reached.
    """

    def __init__(self) -> None:
        boto3 = pytest.importorskip("boto3", reason="the test extra is not installed")
        self._moto = pytest.importorskip("moto.server", reason="the test extra is not installed")
        pytest.importorskip("obstore", reason="the cloud extra is not installed")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = self._begun(0)
        self.address = f"http://127.0.0.1:{self._server.port}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=self.address, **keys).create_bucket(Bucket=BUCKET)

    def _begun(self, port: int) -> Any:
        from werkzeug.serving import make_server

        # One request at a time: moto looks whether an object is there and then writes it, without a lock, as S3 does
        # not.
        application = self._moto.DomainDispatcherApplication(self._moto.create_backend_app)
        server = make_server("127.0.0.1", port, application, threaded=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def go(self) -> None:
        """Go away."""
        self._server.shutdown()
        self._server.server_close()

    def come_back(self) -> None:
        """Under the same address."""
        self._server = self._begun(self._server.port)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.go()


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty prefix, with what the environment needs to reach it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.address)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}/runs"


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store, of either kind."""
    found: str = request.getfixturevalue("s3") if request.param == "s3" else str(tmp_path / "store")
    return found


@pytest.fixture
def store(address: str) -> Store:
    """An empty one, of either kind."""
    return Store(address)
