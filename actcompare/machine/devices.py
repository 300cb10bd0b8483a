"""Devices and dtypes by name."""

import platform
import re

import torch

from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.cores import usable_cores
from actcompare.machine.processors import _cpu_name

_DEVICE = re.compile(r"cpu|mps|cuda(:[0-9]|:[1-9][0-9])?")
"""Names of devices; torch holds the index in 8 bits."""

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def available_devices() -> list[str]:
    """Return all devices that torch can use here, such as `cpu (a name, 8 cores)`."""
    devices = [f"cpu ({_cpu_name()}, {usable_cores()} cores)"]
    devices += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        devices.append("mps (Apple GPU)")
    return devices


def resolve_dtype(name: str | torch.dtype) -> tuple[str, torch.dtype]:
    """Return the name of a dtype, and the dtype.

    Raises:
        UsageError: The dtype is not one of float32, float64, bfloat16, float16.
    """
    name = str(name).removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(
            f"dtype {name!r} is not one of {', '.join(DTYPES)}: use a floating-point dtype"
        )
    return name, DTYPES[name]


def resolve_device(name: str) -> torch.device:
    """Return the device of a name, after checking that it exists on this machine.

    Raises:
        UsageError: The name is not that of a device.
        ActcompareError: This machine or this build of torch does not have the device.
    """
    device = device_named(name)
    if device.type == "cuda":
        _require_cuda(name, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ActcompareError(
            f"device mps: torch {torch.__version__} on {platform.system()} finds no Apple GPU; use"
            " --device cpu"
        )
    return device


def device_named(name: str) -> torch.device:
    """Return the device of a name, which need not exist on this machine.

    Raises:
        UsageError: The name is not that of a device.
    """
    if not _DEVICE.fullmatch(name):
        raise UsageError(f"device {name!r} is not one of cpu, cuda, cuda:N, mps")
    return torch.device(name)


def _require_cuda(name: str, index: int) -> None:
    if torch.version.cuda is None and torch.version.hip is None:
        raise ActcompareError(
            f"device {name}: this torch ({torch.__version__}) is built without CUDA; install a CUDA"
            " build (https://pytorch.org/get-started/locally) or use --device cpu"
        )
    found = torch.cuda.device_count()
    if found == 0:
        raise ActcompareError(
            f"device {name}: torch {torch.__version__} is built for CUDA {torch.version.cuda} but"
            " finds no GPU; check that nvidia-smi lists one, or use --device cpu"
        )
    if index >= found:
        last = f"cuda:0 to cuda:{found - 1}" if found > 1 else "cuda:0"
        raise ActcompareError(f"device {name}: this machine has only {last}")
