"""Models of the Hugging Face hub and of other places: how a parameter names one, and whether it can be had now.

Without a network the hub's client asks each file six times, with pauses; here one question of a few seconds decides.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from typing_extensions import TypeAliasType

PATIENCE = 5.0
"""Seconds that a server may take to answer at all."""


def folder_or_name(value: Any) -> Any:
    """A folder as a `Path`, so that its contents enter the cell's identity; any other value as it is."""
    return Path(value) if isinstance(value, str) and Path(value).is_dir() else value


ModelId = TypeAliasType("ModelId", Annotated[Path | str, BeforeValidator(folder_or_name)])


def reachable(url: str) -> bool:
    """Whether a server answers at this address within `PATIENCE`, by the proxy of the environment, if any."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True  # it answered
    except urllib.error.URLError as error:
        # Somebody answered there; other clients bring certificates of their own.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def hub(name: Path | str = "") -> Iterator[None]:
    """Ask the hub within this: where it cannot be reached, its client looks into its cache alone, and says no more.

    Args:
        name: of what is asked for; a folder needs no network.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    offline, verbosity = constants.HF_HUB_OFFLINE, logging.get_verbosity()
    # It tells of every retry; our errors say it once.
    logging.set_verbosity_error()
    local = bool(name) and Path(name).is_dir()
    constants.HF_HUB_OFFLINE = offline or local or not reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)


def downloadable(url: str, cached: Path) -> None:
    """Raises ConnectionError where a file is not in the cache and its server cannot be reached."""
    if not cached.is_file() and not reachable(url):
        raise ConnectionError(f"no answer from {url}")
