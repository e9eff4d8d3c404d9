"""Both kinds of store: a folder, and a bucket of an S3 server that runs beside the tests."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.store import Store

BUCKET = "bench-tests"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that has the bucket."""
    boto3 = pytest.importorskip("boto3", reason="the test extra is not installed")
    moto = pytest.importorskip("moto.server", reason="the test extra is not installed")
    pytest.importorskip("obstore", reason="the cloud extra is not installed")
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # One request at a time: moto looks whether an object is there and then writes it, without a lock, as S3 does not.
    server = make_server("127.0.0.1", 0, moto.DomainDispatcherApplication(moto.create_backend_app), threaded=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket=BUCKET)
    yield address
    server.shutdown()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty prefix, with what the environment needs to reach it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
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
