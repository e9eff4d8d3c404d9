"""Whether weights can be had is one short question."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.training import hub


class Refusing(BaseHTTPRequestHandler):
    """Answers that there is nothing here."""

    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(hub, "PATIENCE", 0.3)


def test_who_answers_is_reachable_whatever_the_answer(port: int) -> None:
    assert hub.reachable(f"http://127.0.0.1:{port}/absent")


def test_who_is_silent_or_absent_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not hub.reachable(address)
    assert not hub.reachable(address)


def test_the_client_is_offline_inside_and_as_it_was_after(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    for url, offline in ((f"http://127.0.0.1:{port}", False), ("http://127.0.0.1:9", True)):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        with hub.hub():
            assert offline == constants.HF_HUB_OFFLINE
        assert not constants.HF_HUB_OFFLINE


def test_what_is_on_disk_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(url: str) -> bool:
        raise AssertionError(url)

    monkeypatch.setattr(hub, "reachable", asked)
    (tmp_path / "file").touch()
    hub.downloadable("http://127.0.0.1:9/file", tmp_path / "file")
    with hub.hub(tmp_path):
        pass
