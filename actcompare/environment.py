"""What machine, library versions and device a result came from; and which device was asked for."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

import actcompare
from actcompare.errors import ActcompareError, UsageError

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
MOST_THREADS = 1024


@dataclass(frozen=True)
class Environment:
    """Where a result was computed."""

    actcompare: str
    torch: str
    python: str
    platform: str
    cpu: str
    cores: int
    """Cores this process may use."""
    threads: int
    """Threads torch uses within an operation."""
    device: str
    device_name: str

    def as_dict(self) -> dict[str, object]:
        """The record as plain data."""
        return asdict(self)


def describe_environment(device: torch.device) -> Environment:
    """The environment of this process, with `device` named."""
    cpu = _cpu_name()
    return Environment(
        actcompare=actcompare.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu,
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        device=str(device),
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
    )


def what_differs(old: Environment, new: Environment) -> str:
    """What of two environments can change the last bits of a result, in words, or nothing."""
    named = {
        "torch": "torch",
        "device_name": "device",
        "threads": "threads",
        "platform": "platform",
    }
    changes = [
        f"{said} was {getattr(old, name)} and is {getattr(new, name)}"
        for name, said in named.items()
        if getattr(old, name) != getattr(new, name)
    ]
    return ", ".join(changes)


def check_threads(threads: int | None) -> None:
    """Check that torch can be asked for so many threads.

    Raises:
        UsageError: it cannot.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"threads must be from 1 to {MOST_THREADS}, not {threads}")


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch computes with so many threads while the context lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_cautions(threads: int) -> list[str]:
    """What about this machine disturbs a measurement of time right now, each with its cure."""
    cautions, cores = [], usable_cores()
    if threads > cores:
        cautions.append(
            f"{threads} threads on {cores} cores wait for each other: --threads {cores}"
        )
    busy = _busy_cores()
    if busy > max(0.5, cores - threads + 0.5):
        cautions.append(
            f"other work keeps {busy:.1f} of {cores} cores busy: intervals will be wider; wait for"
            " it, or leave it cores with --threads"
        )
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with contextlib.suppress(OSError):
        if (name := governor.read_text(encoding="ascii").strip()) == "powersave":
            cautions.append(
                f"the CPU's governor is {name}, which varies its clock: cpupower frequency-set -g"
                " performance"
            )
    return cautions


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


def _busy_cores(seconds: float = 0.1) -> float:
    """How many cores other work uses while this process sleeps; 0 where the kernel does not say."""

    def ticks() -> tuple[int, int]:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
        idle, waiting = fields[3:5]
        return sum(map(int, fields)), int(idle) + int(waiting)

    try:
        total, idle = ticks()
        time.sleep(seconds)
        total_later, idle_later = ticks()
    except (OSError, ValueError):
        return 0.0
    share = 1 - (idle_later - idle) / max(1, total_later - total)
    return share * (os.cpu_count() or 1)


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
