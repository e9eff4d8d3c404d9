"""A store under a prefix of S3, Google Cloud Storage or Azure, through obstore; needs the extra ``cloud``.

Credentials come from the environment and the clouds' own files. Beside the bucket a folder of this machine keeps work
under way and copies of maps and weights. A published folder is ``NAME.files.json``, which says by digest what is in it,
and ``blobs/DIGEST``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from bench.contracts import UserError
from bench.runtime.files import file_digest, replacing, sweep_folder
from bench.runtime.sealed import sealed, unsealed
from bench.store.objects import RESUME, WORK, answering

if TYPE_CHECKING:
    from obstore.store import RetryConfig

CACHE = "BENCH_CACHE"
"""Environment variable: the folder for copies; by default ``refinebench`` in the user's cache folder."""

_PATIENCE = timedelta(seconds=30)
"""Until a server that does not answer is given up."""

_LISTING = ".files.json"


class BucketObjects:
    """`bench.store.objects.Objects` of a bucket.

    Args:
        address: ``s3://bucket/prefix`` or the like.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.local = _cache() / hashlib.blake2b(address.encode(), digest_size=8).hexdigest()

    def __reduce__(self) -> tuple[type[BucketObjects], tuple[str]]:
        return BucketObjects, (self.address,)

    @cached_property
    def _bucket(self) -> Any:
        retries: RetryConfig = {"max_retries": 4, "retry_timeout": _PATIENCE}
        with self._answering():
            return obstore.store.from_url(self.address, retry_config=retries)

    def read(self, name: str) -> bytes:
        with self._answering(name):
            return bytes(obstore.get(self._bucket, name).bytes())

    def path(self, name: str) -> Path:
        kept = self.local / name
        if not kept.is_file():
            self._keep(kept, self.read(name))
        return kept

    def create(self, name: str, content: bytes) -> bool:
        with self._answering(name):
            try:
                obstore.put(self._bucket, name, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def replace(self, name: str, content: bytes) -> None:
        with self._answering(name):
            obstore.put(self._bucket, name, content)

    def update(self, name: str, change: Callable[[bytes], bytes | None]) -> bool:
        with self._answering(name):
            try:
                found = obstore.get(self._bucket, name)
                after = change(bytes(found.bytes()))
                if after is None:
                    return False
                known = ((key, found.meta.get(key)) for key in ("e_tag", "version"))
                mode: Any = {key: value for key, value in known if value is not None}  # not every server has both
                obstore.put(self._bucket, name, after, mode=mode, use_multipart=False)
            except (FileNotFoundError, PreconditionError):
                return False
        return True

    def publish(self, folder: Path, name: str) -> bool:
        listing = {}
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            with answering(file), self._answering(name):
                digest = file_digest(file)
                obstore.put(self._bucket, f"blobs/{digest}", file)
            listing[file.relative_to(folder).as_posix()] = digest
        won = self.create(name + _LISTING, sealed(listing).encode())
        kept = self.local / name
        with answering(kept):
            if won and not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(kept)
        return won

    def fetch(self, name: str) -> Path | None:
        try:
            listing = self._listing(name)
        except FileNotFoundError:
            return None
        kept = self.local / name
        for place, digest in listing.items():
            if ".." in Path(place).parts or Path(place).is_absolute():
                raise UserError(f"a file outside of its folder, {place}", f"{self.address}/{name}", "use another store")
            with answering(kept / place):
                is_there = (kept / place).is_file() and file_digest(kept / place) == digest
            if not is_there:
                self._keep(kept / place, self.read(f"blobs/{digest}"))
        return kept

    def withdraw(self, name: str) -> None:
        self.delete(name + _LISTING)
        shutil.rmtree(self.local / name, ignore_errors=True)

    def delete(self, name: str) -> None:
        with answering(self.local / name):
            (self.local / name).unlink(missing_ok=True)
        with self._answering(name), suppress(FileNotFoundError):
            obstore.delete(self._bucket, name)

    def names(self, prefix: str) -> list[str]:
        folder = prefix.rpartition("/")[0]
        found = (entry["path"] for entry in self._listed(folder)["objects"])
        return sorted(name for name in found if name.startswith(prefix))

    def tree(self, name: str) -> list[str]:
        with self._answering(name):
            return sorted(entry["path"] for part in obstore.list(self._bucket, name) for entry in part)

    def folders(self, name: str) -> list[str]:
        listed = self._listed(name)
        names = [entry["path"] for entry in listed["objects"]]
        published = [one.removesuffix(_LISTING) for one in names if one.endswith(_LISTING)]
        return sorted({*listed["common_prefixes"], *published})

    def orphans(self) -> list[str]:
        wanted: set[str] = set()
        with self._answering():
            everything = [entry["path"] for part in obstore.list(self._bucket) for entry in part]
        for name in everything:
            if name.endswith(_LISTING):
                wanted |= set(self._listing(name.removesuffix(_LISTING)).values())
        blobs = [name for name in everything if name.startswith("blobs/") and name[6:] not in wanted]
        return [*blobs, *(name for name in everything if name.startswith(f"{WORK}/"))]

    def sweep(self) -> None:
        with answering(self.local):
            sweep_folder(self.local)

    def _listing(self, name: str) -> dict[str, str]:
        """Place -> digest; of a damaged one none, so that the folder is found to be damaged."""
        try:
            return unsealed(self.read(name + _LISTING))
        except ValueError:
            return {}

    def _keep(self, kept: Path, content: bytes) -> None:
        with answering(kept), replacing(kept) as path:
            path.write_bytes(content)

    def _listed(self, folder: str) -> Any:
        with self._answering(folder):
            return obstore.list_with_delimiter(self._bucket, folder)

    @contextmanager
    def _answering(self, name: str = "") -> Iterator[None]:
        where = f"{self.address}/{name}" if name else self.address
        try:
            yield
        except BaseError as error:
            # The first line alone: the rest is Rust's view of it, several screens long.
            raise UserError(f"the store does not answer, {str(error).splitlines()[0]}", where, RESUME) from None


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(CACHE) or home / "refinebench").absolute()
