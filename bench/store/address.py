"""What ``--store`` names -> the objects there."""

from __future__ import annotations

import re
from pathlib import Path

from bench.contracts import UserError
from bench.store.folder import FolderObjects
from bench.store.objects import Objects

SCHEMES = ("s3", "gs", "az", "file")


def objects_at(address: Path | str) -> Objects:
    """The objects at an address.

    Args:
        address: a folder; or ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://account/container/prefix``,
            ``file:///folder``.

    Raises:
        UserError: no such kind of address, it carries a password, or the package for it is missing.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", str(address))
    if match is None:
        return FolderObjects(Path(address))
    scheme, rest = match[1].lower(), str(address)[match.end() :]
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise UserError(f"no such kind of store {scheme!r}", "--store", f"name a folder, or one of {known}")
    if "@" in rest.split("/")[0]:
        fix = "leave them out, and give them in the environment or the cloud's own files (AWS_ACCESS_KEY_ID, ...)"
        raise UserError("an address with credentials in it", "--store", fix)
    if scheme == "file":
        return objects_at(Path("/" + rest.lstrip("/")))
    try:
        from bench.store.bucket import BucketObjects
    except ImportError:
        fix = "pip install refinebench[cloud]"
        raise UserError("obstore is not installed", f"--store {scheme}://...", fix) from None
    return BucketObjects(f"{scheme}://{rest.rstrip('/')}")
