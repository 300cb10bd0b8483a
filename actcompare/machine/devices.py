"""The devices and number formats of this machine, by name."""

import platform

import torch

from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.processors import _cpu_name, usable_cores

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def available_devices() -> list[str]:
    """Every device this torch can compute on, with its name."""
    devices = [f"cpu ({_cpu_name()}, {usable_cores()} cores)"]
    devices += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        devices.append("mps (Apple GPU)")
    return devices


def resolve_dtype(name: str | torch.dtype) -> tuple[str, torch.dtype]:
    """The name of a dtype, and the dtype.

    Raises:
        UsageError: it is not one of float32, float64, bfloat16, float16.
    """
    name = str(name).removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(
            f"dtype {name!r} is not one of {', '.join(DTYPES)}: activations need floating point"
        )
    return name, DTYPES[name]


def resolve_device(name: str) -> torch.device:
    """The device of that name, known to be there.

    Raises:
        UsageError: no such kind of device.
        ActcompareError: this machine or this torch build does not have it.
    """
    device = device_named(name)
    if device.type == "cuda":
        _require_cuda(name, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ActcompareError(
            f"device mps: torch {torch.__version__} on {platform.system()} has no Apple GPU;"
            " use --device cpu"
        )
    return device


def device_named(name: str) -> torch.device:
    """The device of that name, here or on another machine.

    Raises:
        UsageError: no such kind of device.
    """
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
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
        raise ActcompareError(f"device {name}: this machine has {last}")
