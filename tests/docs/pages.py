"""Markdown pages as a reader follows them: each fenced block says what it is, commands and scripts run, links lead on.

What a fence's first line says:

``bash``, ``python``
    is run, in the order of the page, in one folder; a ``python`` block is a script of its own.
``bash not-run: needs DeepGlobe``
    is not run, and says why.
``toml``, ``json``
    must parse.
any other word
    is for the reader alone.

A block that begins with ``# sharpen/tests/test_sharpen.py``, a comment of nothing but a path, is that file: it is
written, not run.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import site
import subprocess
import tomllib
import venv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from bench.images import to_uint16
from tests.conftest import REPOSITORY

RUN = ("bash", "python")
SHELLS = ("sh", "shell", "console", "zsh")
PARSERS = {"toml": tomllib.loads, "json": json.loads}
SECONDS = 300.0
"""The longest that a block may take; most take a few, and tests may share the machine."""

FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
PROGRAM = "#!{python}\nimport sys\nfrom {module} import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


class NoIndexError(Exception):
    """A block installs a package whose build needs one that pip cannot fetch here."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a page, and on which line of it."""

    page: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.what}"


def told(problems: Iterable[Problem]) -> str:
    """One a line; "" where there is none."""
    return "\n".join(map(str, problems))


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: that of the opening fence, from 1.
        tag: the fence's first word.
        note: the fence's other words.
    """

    page: Path
    line: int
    tag: str
    note: str
    text: str

    @property
    def file(self) -> str:
        """The path of the file that it is the text of, or ""."""
        named = FILE.match(self.text)
        return named[1] if named else ""

    @property
    def runs(self) -> bool:
        return self.tag in RUN and not self.note

    def problem(self, what: str) -> Problem:
        return Problem(self.page, self.line, what)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, and the indented ones, which have no tag."""
    found = []
    for token in _parsed(page):
        if token.type in ("fence", "code_block") and token.map:
            tag, _, note = token.info.strip().partition(" ")
            found.append(Block(page, token.map[0] + 1, tag, note.strip(), token.content))
    return found


def untold(page: Path) -> list[Problem]:
    """The blocks that do not say what they are, or are not what they say."""
    return [block.problem(what) for block in blocks(page) if (what := _untold(block))]


def _untold(block: Block) -> str:
    if not block.tag:
        return "a block without a tag: say what it is, ```text at least"
    if block.tag in SHELLS:
        return f"a block tagged {block.tag}: commands are tagged bash, so that they are run"
    if block.tag in RUN and block.note and not re.match(r"not-run: \S", block.note):
        return f"{block.note!r} after {block.tag}: only 'not-run: REASON' can stand there"
    if block.tag in PARSERS:
        try:
            PARSERS[block.tag](block.text)
        except ValueError as error:
            return f"this is no {block.tag}: {error}"
    return ""


@dataclass(frozen=True)
class Desk:
    """A working folder with `my/images`, `my/masks` and `my/maps`, and an environment of its own to install into."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def laid_out(cls, where: Path) -> Desk:
        """In a folder, made where it is missing. ``bench`` on its PATH is this checkout's."""
        folder, environment = where / "folder", where / "environment"
        folder.mkdir(parents=True)
        draw_own_data(folder / "my")
        # What a run prints is the same, but for memory; a process for each stage of each cell takes seconds to start.
        (folder / "bench.toml").write_text('[defaults]\nengine = "inline"\n')
        venv.create(environment)
        (packages,) = environment.glob("lib/python*/site-packages")
        # addsitedir and not a bare path: it reads the .pth files there, and so finds an editable refinebench.
        lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
        (packages / "ours.pth").write_text("\n".join(lines) + "\n")
        for name, module in (("bench", "bench.cli"), ("pip", "pip._internal.cli.main")):
            program = environment / "bin" / name
            program.write_text(PROGRAM.format(python=environment / "bin" / "python", module=module))
            program.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        own = {
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),  # before an editable refinebench, which may be another checkout's
            "BENCH_DATA": str(where / "data"),
            "OMP_NUM_THREADS": "1",  # tests share the machine
            "HF_HUB_OFFLINE": "1",  # what needs the hub is tagged so, and fails at once where it is not
        }
        return cls(folder, {**kept, **own})

    def run(self, command: list[str], seconds: float = SECONDS) -> tuple[int, str, str]:
        """Exit status, stdout and stderr. Whatever it started is killed with it where time runs out.

        Raises:
            TimeoutError: it took longer.
        """
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TimeoutError(f"took more than {seconds:g} s") from None
        return process.returncode, out, err

    def follow(self, page: Path, seconds: float = SECONDS) -> tuple[str, list[Problem]]:
        """Write and run the blocks of a page, up to the first that fails.

        Args:
            seconds: the longest that a block may take.

        Returns:
            What they printed to stdout, and the problem: none or one.

        Raises:
            NoIndexError: see there.
        """
        said = ""
        for block in blocks(page):
            if block.file:
                path = self.folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif block.runs:
                try:
                    status, out, err = self._run(block, seconds)
                except TimeoutError as error:
                    return said, [block.problem(str(error))]
                if status:
                    if "pip install" in block.text and "hatchling" in err:
                        raise NoIndexError("pip cannot fetch hatchling: no package index here")
                    shown = f"exit status {status}\n{block.text}\n{out[-3000:]}\n{err[-3000:]}"
                    return said, [block.problem(shown)]
                said += out
        return said, []

    def _run(self, block: Block, seconds: float) -> tuple[int, str, str]:
        if block.tag == "bash":
            return self.run(["bash", "-euo", "pipefail", "-c", block.text], seconds)
        script = self.folder / f"line_{block.line}.py"
        script.write_text(block.text, encoding="utf-8")
        try:
            return self.run(["python", script.name], seconds)
        finally:
            script.unlink()


def draw_own_data(folder: Path) -> None:
    """Eight images of a bright disc, their masks, and 8-bit maps that are blurred, noisy and under-confident."""
    draw = np.random.default_rng(5)
    rows, columns = np.mgrid[:48, :64]
    for number in range(8):
        row, column = draw.uniform(16, 32), draw.uniform(16, 48)
        mask = np.hypot(rows - row, columns - column) < draw.uniform(8, 14)
        image = np.where(mask[..., None], (190, 160, 90), (60, 80, 70)) + draw.normal(0, 12, (*mask.shape, 3))
        noise = cv2.GaussianBlur(draw.normal(0, 0.5, mask.shape), (0, 0), 2)
        probs = np.clip(0.1 + 0.5 * cv2.GaussianBlur(mask.astype(np.float64), (0, 0), 2) + noise, 0, 1)
        written = {
            "images": np.clip(image, 0, 255).astype(np.uint8),
            "masks": mask.astype(np.uint8) * 255,
            "maps": (to_uint16(probs.astype(np.float32)) >> 8).astype(np.uint8),
        }
        for kind, values in written.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / kind / f"disc-{number}.png")


def broken_links(page: Path, root: Path) -> list[Problem]:
    """The links of a page that lead nowhere: to no file below ``root``, to no heading, or to no address."""
    return [Problem(page, line, what) for line, link in _links(page) if (what := _broken(link, page, root))]


def _broken(link: str, page: Path, root: Path) -> str:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https"):
        formed = re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc) and not re.search(r"\s", unquote(link))
        return "" if formed else f"{link} is no web address"
    if parts.scheme == "mailto":
        return ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
    if parts.scheme or parts.netloc or link.startswith("/") or not target.is_relative_to(root.resolve()):
        return f"{link} leads out of the repository"
    if not target.exists():
        return f"{link}: no such file"
    if parts.fragment and target.suffix == ".md" and unquote(parts.fragment) not in anchors(target):
        return f"{link}: no such heading"
    return ""


@cache
def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page, and the anchors that it writes itself."""
    found, seen = set(), Counter[str]()
    tokens = _parsed(page)
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            shown = "".join(each.content for each in inline.children or [] if each.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    for _, text in _html(tokens):
        found |= set(re.findall(r"""\b(?:id|name)=["']([^"']+)["']""", text))
    return found


def _links(page: Path) -> Iterator[tuple[int, str]]:
    """Line and target of each link and picture."""
    tokens = _parsed(page)
    for line, token in _inline(tokens):
        link = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
        if isinstance(link, str):
            yield line, link
    for line, text in _html(tokens):
        for link in re.findall(r"""\b(?:href|src)=["']([^"']+)["']""", text):
            yield line, link


def _html(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    """Line and text of each piece of HTML."""
    for token in tokens:
        if token.type == "html_block" and token.map:
            yield token.map[0] + 1, token.content
    for line, token in _inline(tokens):
        if token.type == "html_inline":
            yield line, token.content


def _inline(tokens: list[Token]) -> Iterator[tuple[int, Token]]:
    """The tokens within paragraphs, headings and cells, with their lines."""
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        for child in token.children or []:
            yield line, child
            line += child.type in ("softbreak", "hardbreak")


def _parsed(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
