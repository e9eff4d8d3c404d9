# mypy: disable-error-code="no-untyped-def"
"""Plug-ins that do wrong: installed by the tests beside it as a user's package would be."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from bench.contracts import BaseNetwork, Refiner

WAIT = [sys.executable, "-c", "import time; time.sleep(300)"]
"""A process that waits; it inherits the variable that the tests look for."""


class Odd(BaseException):
    """No Exception."""


class MuteError(Exception):
    """Has no message, cannot be pickled, and would not be unpickled."""

    def __str__(self):
        raise ValueError("no message")

    def __reduce__(self):
        raise pickle.PicklingError("no pickle")


class _Bad(Refiner):
    def __init__(self, *, does: str = "nothing"):
        self.does, self.seen = does, 0
        if does == "exits-in-constructor":
            sys.exit(0)
        if does == "raises-in-constructor":
            raise ZeroDivisionError("in the constructor")

    def refine(self, images, maps):
        self.seen += 1
        found = getattr(self, self.does.replace("-", "_"))(images[0], maps[0])
        return [1 - maps[0]] if found is None else found


class Wrong(_Bad):
    """Fails, each time in another way."""

    def raises(self, image, probs):
        raise ZeroDivisionError("\x1b[31mred\x1b[0m\nand a second line" + "!" * 10**7)

    def mute(self, image, probs):
        raise MuteError

    def exits(self, image, probs):
        sys.exit(3)

    def exits_well(self, image, probs):
        sys.exit(0)

    def interrupts(self, image, probs):
        raise KeyboardInterrupt

    def generator_exit(self, image, probs):
        raise GeneratorExit

    def stops_iteration(self, image, probs):
        next(iter([]))

    def odd(self, image, probs):
        raise Odd("not caught by except Exception")

    def os_exit(self, image, probs):
        os._exit(0)

    def os_exit_7(self, image, probs):
        os._exit(7)

    def kills(self, image, probs):
        os.kill(os.getpid(), signal.SIGKILL)

    def segfaults(self, image, probs):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.string_at(0)

    def aborts(self, image, probs):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()

    def kills_group(self, image, probs):
        os.kill(0, signal.SIGKILL)

    def kills_parent(self, image, probs):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(300)

    def hangs(self, image, probs):
        time.sleep(300)

    def stops_itself(self, image, probs):
        os.kill(os.getpid(), signal.SIGSTOP)

    def hangs_deaf(self, image, probs):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(WAIT)
        while True:
            time.sleep(1)

    def forks_then_crashes(self, image, probs):
        if os.fork() == 0:
            time.sleep(300)  # holds the pipe open
        os._exit(9)

    def daemon_then_crashes(self, image, probs):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(300)
            os._exit(0)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGSEGV)

    def memory(self, image, probs):
        resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
        np.ones(2**36, np.uint8)

    def gpu_memory(self, image, probs):
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def recursion(self, image, probs):
        return self.recursion(image, probs)

    def closes_files(self, image, probs):
        os.closerange(3, 4096)

    def writes_image(self, image, probs):
        image[:] = 0

    def writes_map(self, image, probs):
        probs += 1

    def writes_by_torch(self, image, probs):
        import torch

        torch.from_numpy(probs).mul_(0.5)

    def sorts(self, image, probs):
        probs.sort()

    def nan(self, image, probs):
        return [np.full_like(probs, np.nan)]

    def logits(self, image, probs):
        return [probs * 9 - 4]

    def shape(self, image, probs):
        return [probs[:-1]]

    def dtype(self, image, probs):
        return [probs.astype(np.float64)]

    def array(self, image, probs):
        return probs[None]

    def none(self, image, probs):
        return [None]

    def two(self, image, probs):
        return [probs, probs]

    def empty(self, image, probs):
        return []

    def masked(self, image, probs):
        return [np.ma.masked_greater(probs, 0.5)]

    def huge(self, image, probs):
        return [np.broadcast_to(np.float32(0), (2**20, 2**20))]

    def many(self, image, probs):
        return [probs] * 10**6

    def goes_on(self, image, probs):
        mine = np.zeros_like(probs)

        def change():
            while True:
                mine[:] = time.monotonic() % 1

        threading.Thread(target=change, daemon=True).start()
        return [mine]


class Untidy(_Bad):
    """Gives the map turned round, whatever else it does."""

    def itself(self, image, probs):
        return [np.subtract(1, probs)[:]]

    def processes(self, image, probs):
        subprocess.Popen(WAIT)
        subprocess.Popen(WAIT, start_new_session=True)

    def child(self, image, probs):
        multiprocessing.get_context("fork").Process(target=time.sleep, args=[300], daemon=False).start()

    def comes_back_twice(self, image, probs):
        os.fork()

    def thread(self, image, probs):
        threading.Thread(target=time.sleep, args=[300]).start()

    def prints(self, image, probs):
        print("noise " * 10**6)

    def closes_output(self, image, probs):
        sys.stdout.close()
        sys.stderr.close()

    def moves(self, image, probs):
        os.chdir("/")

    def handles(self, image, probs):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)


class Good(Refiner):
    """The map turned round."""

    def refine(self, images, maps):
        return [1 - probs for probs in maps]


class WrongFit(Refiner):
    """Fails while it learns."""

    trainable = True

    def __init__(self, *, does: str = "nothing"):
        self.does = does

    def fit(self, val, workdir: Path):
        sample, probs = val[0]
        if self.does == "writes":
            sample.mask[:] = True
        if self.does == "writes-map":
            probs[:] = 0
        if self.does == "hangs":
            time.sleep(300)
        if self.does == "exits":
            sys.exit("no more")

    def refine(self, images, maps):
        return list(maps)


class Base(BaseNetwork):
    """Does as it is told; else gives its images' grey."""

    def __init__(self, *, does: str = "nothing"):
        self.does = does

    def predict(self, samples):
        grey = samples[0].image[..., 0].astype(np.float32) / 255
        if self.does == "writes":
            samples[0].image[:] = 0
        if self.does == "writes-mask-by-torch":
            import torch

            torch.from_numpy(samples[0].mask).fill_(True)
        if self.does == "hangs":
            time.sleep(300)
        if self.does == "segfaults":
            ctypes.string_at(0)
        return [grey, grey] if self.does == "two" else [grey]


class Metric:
    """Does as it is told."""

    requires, extra, version = (), "", 1
    title, meaning, better, scale, digits = "odd", "odd", "higher", 1.0, 1

    def __init__(self, *, does: str = "nothing"):
        self.does = does

    def __call__(self, probs, mask):
        if self.does == "writes":
            mask[:] = True
        if self.does == "writes-by-torch":
            import torch

            torch.from_numpy(probs).fill_(0)
        if self.does == "exits":
            sys.exit(0)
        if self.does == "raises":
            raise MuteError
        if self.does == "huge":
            return 10**6000
        if self.does == "hangs":
            time.sleep(300)
        return 1.0
