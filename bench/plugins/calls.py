"""Around every call of a plug-in's code: what it must not do to its caller."""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.contracts import Sample, UserError
from bench.runtime.failures import EscapeError, Stopped


class PartError(UserError):
    """What a part of a refiner has done, its ``where`` being the part: whoever calls the whole adds on what."""


_COPY = "the plug-in must copy what it is given before it changes it, e.g. maps[0].copy()"


@contextmanager
def calling(where: str, *lent: np.ndarray) -> Iterator[None]:
    """In the block a plug-in's code runs.

    The working folder is the same after it, and there are standard streams. A copy of this process that the plug-in has
    forked, and that comes back from it, ends: it would do this process's work a second time.

    Args:
        where: what is called and on what, for errors.
        lent: what it is given to read, which must be the same afterwards.

    Raises:
        UserError: the plug-in raised it; it wrote into an array that is read-only, or changed what it was lent.
        EscapeError: it called ``sys.exit``, or raised something else that is no Exception.
        KeyboardInterrupt: Ctrl-C; or the plug-in raised it, which looks the same.
    """
    process, folder, before = os.getpid(), _folder(), _sums(lent)
    try:
        yield
    except PartError as error:
        raise UserError(error.what, f"{where}: {error.where}", error.fix) from error
    except (UserError, KeyboardInterrupt, Stopped):
        raise
    except BaseException as error:
        if _of_read_only(error):
            raise UserError(f"it writes into an array that is read-only, {error}", where, _COPY) from error
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        raise EscapeError.of(error) from error
    finally:
        if os.getpid() != process:
            os._exit(1)
        if folder is not None and _folder() != folder:
            os.chdir(folder)
        _keep_streams()
    if _sums(lent) != before:
        # As torch does, for one, which heeds no flag of numpy's.
        raise UserError("it has changed its input", where, _COPY)


@contextmanager
def calling_part(part: str) -> Iterator[None]:
    """In the block a refiner calls a part of it, inside a `calling`.

    Args:
        part: which, for errors: ``"part 2, densecrf"``.

    Raises:
        PartError: the part raised a UserError, or wrote into an array that is read-only.
    """
    try:
        yield
    except UserError as error:
        raise PartError(error.what, ": ".join(filter(None, (part, error.where))), error.fix) from error
    except Exception as error:
        if _of_read_only(error):
            raise PartError(f"it writes into an array that is read-only, {error}", part, _COPY) from error
        error.add_note(part)
        raise


def own(sample: Sample) -> Sample:
    """The sample on memory of its own."""
    return replace(
        sample,
        image=sample.image.copy(),
        mask=sample.mask.copy(),
        support=tuple(map(own, sample.support)),
        ignore=None if sample.ignore is None else sample.ignore.copy(),
    )


def arrays_of(sample: Sample) -> list[np.ndarray]:
    """The image, the mask and the support's; what a base is lent."""
    return [sample.image, sample.mask, *(array for other in sample.support for array in arrays_of(other))]


def _keep_streams() -> None:
    """Nothing is heard on a standard stream that was closed; but no file of ours takes its number, and what it gets."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(getattr(sys, name), "closed", False):
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # it stays open


def _sums(arrays: tuple[np.ndarray, ...]) -> list[int]:
    return [zlib.crc32(np.ascontiguousarray(array)) for array in arrays]


def _folder() -> Path | None:
    with suppress(OSError):
        return Path.cwd()
    return None


def _of_read_only(error: BaseException) -> bool:
    """Whether it is what numpy, cython or OpenCV say of an array that cannot be written to."""
    theirs = isinstance(error, ValueError | TypeError | BufferError) or type(error).__module__ == "cv2"
    return theirs and re.search("read-?only|WRITEABLE", str(error)) is not None
