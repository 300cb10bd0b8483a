"""Fits as users write them, good and bad. Most do not train: their numbers come from the seed."""

import ctypes
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def trains(activation: Any, seed: int, lr: float, width: int = 8) -> Iterator[dict[str, Any]]:
    torch.manual_seed(seed)
    x = torch.randn(120, 4)
    y = (x[:, :1] * x[:, 1:2]).sign()
    net = nn.Sequential(nn.Linear(4, width), activation(), nn.Linear(width, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(4):
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.soft_margin_loss(net(x[:60]), y[:60]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            right = ((net(x) > 0) == (y > 0)).double().squeeze(1)
        yield {"metric": right[90:].mean(), "validation": right[60:90].mean(), "width": width}


def loss(activation: Any, seed: int, lr: float = 1.0) -> float:
    """A loss that silu makes a little larger, and 0.1 as the rate everywhere smaller."""
    noise = random.Random(f"{seed} {activation.label}").random()
    return 1.0 + bool(activation.label == "silu") + 0.1 * noise + lr


def from_generators(activation: Any, seed: int) -> float:  # noqa: ARG001
    return random.random() + float(torch.rand(()))


def slow(activation: Any, seed: int) -> float:
    time.sleep(0.05)
    return loss(activation, seed)


def ignores_its_seed(activation: Any, seed: int) -> float:  # noqa: ARG001
    return 0.5 + bool(activation.label == "silu")


def repeats_seeds(activation: Any, seed: int) -> float:
    return loss(activation, seed % 3)


def not_a_number(activation: Any, seed: int) -> float:
    return float("nan") if (activation.label, seed) == ("silu", 1) else loss(activation, seed)


def diverges(activation: Any, seed: int) -> Iterator[float]:
    yield loss(activation, seed)
    yield float("inf")
    yield float("nan")


def other_keys(activation: Any, seed: int) -> dict[str, float]:
    return {"metric": loss(activation, seed)} | ({"extra": 1.0} if seed % 2 else {})


def no_metric(activation: Any, seed: int) -> dict[str, float]:
    return {"acc": loss(activation, seed)}


def prints(activation: Any, seed: int) -> float:
    print("printed by the fit")
    os.system("echo printed by a child")
    return loss(activation, seed)


def reads(activation: Any, seed: int) -> float:
    assert sys.stdin.read() == ""
    return loss(activation, seed)


def forks(activation: Any, seed: int) -> float:
    if os.fork() == 0:
        return 99.0
    os.wait()
    return loss(activation, seed)


def raises(activation: Any, seed: int) -> float:
    raise ValueError(f"not with {activation.label}\nand {seed}")


def nothing(activation: Any, seed: int) -> None:
    pass


def ends(activation: Any, seed: int, how: str) -> float:
    """End the process, or nearly so, in one run of all."""
    if (activation.label, seed) == ("silu", 1):
        match how:
            case "exit":
                sys.exit(3)
            case "_exit":
                os._exit(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                ctypes.string_at(0)
            case "memory":
                torch.empty(10**15)
            case "hang":
                time.sleep(100)
            case "fork and die":
                if os.fork() == 0:
                    time.sleep(100)
                os._exit(5)
    return loss(activation, seed)


def visible(activation: Any, seed: int) -> float:  # noqa: ARG001
    return float(os.environ.get("CUDA_VISIBLE_DEVICES") or -1)


def without_activation(act: Any, seed: int) -> float:
    return loss(act, seed)


def without_seed(activation: Any) -> float:
    return loss(activation, 0)


def needs_depth(activation: Any, seed: int, depth: int) -> float:
    return loss(activation, seed) + depth


def by_position(activation: Any, /, seed: int) -> float:
    return loss(activation, seed)


number = 5
