"""The machine, library versions and device that a result comes from."""

import platform
from dataclasses import asdict, dataclass

import torch

import actcompare
from actcompare.bounds import Label, Positive
from actcompare.machine.cores import usable_cores
from actcompare.machine.processors import _cpu_name


@dataclass(frozen=True)
class Environment:
    """The machine, library versions and device of a computation."""

    actcompare: Label
    torch: Label
    python: Label
    platform: Label
    cpu: Label
    cores: Positive
    """Cores that this process may use."""
    threads: Positive
    """torch's intra-op threads."""
    device: Label
    device_name: Label

    def as_dict(self) -> dict[str, object]:
        """Return the record as plain data."""
        return asdict(self)


def describe_environment(device: torch.device) -> Environment:
    """Return the environment of this process, with the name of `device`."""
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
    """Describe what differs between environments and can change the last bits of a result.

    The text is empty if nothing differs.
    """
    named = {
        "torch": "torch",
        "device_name": "device",
        "threads": "threads",
        "platform": "platform",
    }
    changes = [
        f"{said} was {getattr(old, name)}, is {getattr(new, name)}"
        for name, said in named.items()
        if getattr(old, name) != getattr(new, name)
    ]
    return ", ".join(changes)
