"""No password reaches an error line, a note, a manifest, a name or the doctor's page; nothing steers a terminal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.cli import main
from bench.config import load
from bench.contracts import UserError
from bench.plugins.variants import resolve
from bench.redaction import redacted
from bench.runtime.environment import describe
from bench.runtime.progress import note

PASSWORDS = ("hunter2-hunter2", "wJalrXUtnFEMI/K7MDENG", "hf_abcdefghijklmnopqrstuvwx")
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": PASSWORDS[1],
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "HF_TOKEN": PASSWORDS[2],
    "HTTPS_PROXY": f"http://me:{PASSWORDS[0]}@proxy:3128",
}
LEAKS = [
    f"s3://AKIAIOSFODNN7EXAMPLE:{PASSWORDS[1]}@bucket/runs",
    f"https://me:{PASSWORDS[0]}@host/x.zip",
    f"https://host/x?X-Amz-Signature={PASSWORDS[1]}&n=1",
    f"https://host/x?access_token={PASSWORDS[0]}",
    f"Authorization: Bearer {PASSWORDS[2]}",
    str(Path(f"s3://KEY:{PASSWORDS[0]}@bucket/runs")),
]


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def clean(text: str) -> bool:
    return not any(secret in text for secret in (*PASSWORDS, "AKIAIOSFODNN7EXAMPLE"))


@pytest.mark.parametrize("leak", LEAKS)
def test_error_lines_and_notes(leak: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean(str(UserError("cannot be had", leak, f"try {leak}"))) and "***" in redacted(leak)
    assert main(["run", "--store", leak, "--dataset", leak]) == 2
    assert main(["score", "--masks", leak, "--maps", leak]) == 2
    with pytest.raises(SystemExit):
        main(["doctor", leak])
    note(f"reading {leak}")
    captured = capsys.readouterr()
    assert clean(captured.err + captured.out) and captured.err.count("\n") == 4


@pytest.mark.parametrize("text", ["C:/x/y@2x.png", "me@host", "images/a@b.png", "http://host:80/x?page=2", "a: b/c@d"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("leak", LEAKS)
def test_a_name_must_hold_none(leak: str) -> None:
    for spec in (f"huggingface[id='{leak}']", "mine"):
        settings = load().model_copy(deep=True)
        settings.variants.base["mine"] = f"huggingface[id='{leak}']"
        with pytest.raises(UserError, match="id= of 'huggingface' holds a password or a token") as caught:
            resolve("base", spec, settings)
        assert clean(str(caught.value))


def test_manifests_and_the_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "remote", "add", "origin", LEAKS[1]], cwd=tmp_path, check=True)
    (tmp_path / "bench.toml").write_text(
        f'[defaults]\nstore = "{LEAKS[0]}"\n[data]\nroot = "{LEAKS[0]}"\n', encoding="utf-8"
    )
    assert clean(json.dumps(describe("cpu")))
    assert main(["doctor"]) == 0 and main(["data", "list"]) == 0
    assert clean(capsys.readouterr().out)


@pytest.mark.parametrize("text", ["x" * 200_000, "a+b-" * 50_000, "?x" * 20_000, "s3://x" * 5_000])
def test_long_text_takes_no_time(text: str) -> None:
    """A search that looks back at every letter took minutes for such a text, of a map's name or an error."""
    assert redacted(text) == text


def test_a_file_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--masks", "\x1b[2J\nbench: all is well", "--maps", "x"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err and err.count("\n") == 1 and "\\x1b[2J bench: all is well" in err
