"""The command line: one file a command, which has its options, its call and its print. Heavy imports happen late."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from bench.cli import (
    check,
    compare,
    data,
    doctor,
    export,
    list,
    new,
    predict,
    refine,
    report,
    run,
    score,
    screen,
    status,
    store,
    train,
    tune,
)
from bench.cli.parser import Commands, Parser
from bench.cli.stopping import stopping
from bench.contracts import UserError
from bench.runtime.environment import DISTRIBUTION, version_of
from bench.runtime.failures import DISK, signal_of

COMMANDS = (
    run,
    status,
    report,
    compare,
    score,
    predict,
    refine,
    train,
    tune,
    export,
    data,
    store,
    list,
    new,
    check,
    doctor,
)
"""In the order of ``bench --help``."""

FILE_SYSTEM = DISK | {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP}
"""What a file system says no to, wherever it is asked: the user's to mend, and no defect."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``bench``.

    0 done, 2 the user can fix it, 3 done but for failed cells, 1 a defect of ours, or `compare` found a regression,
    4 cells are not finished yet (`status`), 130 ended by Ctrl-C, 129 by a closed terminal, 143 by SIGTERM.
    """
    screen.write_anything()
    # Arrow's own allocator keeps some of what it has read, so that memory would grow with the number of images.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        with stopping():
            arguments = parser().parse_args(argv)
            return int(arguments.command(arguments) or 0)
    except UserError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("bench: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 128 + signal_of(stop)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has left.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in FILE_SYSTEM:
            raise
        where = error.filename if error.filename is not None else "the disk"
        said = UserError(f"the file system says: {error.strerror}", where, "name another place, or mend that one")
        print(f"bench: error: {said}", file=sys.stderr)
        return 2


def parser() -> Parser:
    """The parser of the whole command line; what it parses carries its function as ``command``."""
    whole = Parser(
        prog="bench",
        description="Which refinement method improves my segmentation masks, by how much, and at what cost?",
        epilog="A name may carry parameters wherever one is taken: --refiner 'prn[size=128]'. "
        "Exit codes: 0 done, 2 you can fix it (one line on stderr says how), "
        "3 done but for cells that failed under --on-error skip, 1 a defect of ours or of a plug-in, "
        "128 + N ended by signal N (130 Ctrl-C, 129 a closed terminal, 143 SIGTERM); "
        "of 'bench status' 4 says that cells are not finished yet; "
        "of 'bench compare' 1 says that something regressed.",
    )
    version = f"{DISTRIBUTION} {version_of(DISTRIBUTION) or '(not installed)'}"
    whole.add_argument("--version", action="version", version=version, help="print the version and end")
    commands = Commands(whole)
    for command in COMMANDS:
        command.add(commands)
    return whole
