"""What a result was made with: versions, device, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, Literal

from bench.contracts import UserError

DISTRIBUTION = "refinebench"
"""What ``pip install`` calls this package, and the built-in plug-ins come with."""

PACKAGES = (
    DISTRIBUTION,
    "torch",
    "torchvision",
    "lightning",
    "segmentation-models-pytorch",
    "numpy",
    "scipy",
    "scikit-learn",
    "opencv-contrib-python-headless",
    "pillow",
    "pandas",
    "pyarrow",
    "pydensecrf2",
    "segmentation-refinement",
    "transformers",
    "onnxruntime",
    "optuna",
    "ray",
    "scikit-image",
)


def version_of(package: str) -> str:
    """The version that is installed; "" where none is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers; "" for one that is not installed."""
    return {package: version_of(package) for package in PACKAGES}


def intruders() -> list[str]:
    """Installed packages of others that put files into the folder ``bench``, e.g. ``["frappe-bench 5.22.6"]``, sorted.

    pip lets the last one win, file by file: what is imported then is a mixture.
    """
    return sorted(
        f"{found.name} {found.version}"
        for found in distributions()
        if found.name != DISTRIBUTION and any(file.parts[0] == "bench" for file in found.files or ())
    )


def gpu_names() -> list[str]:
    """Names of the GPUs that NVML sees; empty without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    return [pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Model and number of usable cores."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    return f"{model}, {cores()} cores"


def pick_device(wanted: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """``auto`` is cuda where torch can use a GPU. Raises UserError where cuda is asked for and absent."""
    if wanted == "cpu" or (wanted == "auto" and not gpu_names()):
        return "cpu"
    # Ask the driver's monitor, not the runtime: that would keep a training from forking to several GPUs.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise UserError("torch sees no GPU", "--device cuda", "use --device cpu, or install a CUDA build and a driver")
    return "cpu"


def git_commit() -> str:
    """Commit of the checkout the harness runs from, with ``+changes`` where the tree differs; "" outside one."""
    here = Path(__file__).parent
    try:
        # Installed into a .venv inside somebody's repository, the commit would be theirs: ours tracks this file.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(here, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@cache
def software() -> dict[str, Any]:
    """What `describe` tells of this process whatever its device; found out once, for those forked from it, too."""
    return {
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "commit": git_commit(),
        "versions": {name: number for name, number in package_versions().items() if number},
    }


def describe(device: str) -> dict[str, Any]:
    """JSON-able description for a manifest."""
    found = dict(software())
    cpu = found.pop("cpu")
    return {"device": device, "device_name": ", ".join(gpu_names()) if device == "cuda" else cpu, **found}
