"""Random numbers derived from a seed: weights, batch order, and torch's generators."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def batch_order(samples: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return the order of the samples in an epoch, the same for every activation.

    Shape (sample,), int64.
    """
    order = np.random.default_rng([seed, 2, epoch]).permutation(samples)
    return torch.from_numpy(order).to(device)


@contextlib.contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators for an epoch (0 is for the weights), and restore them afterwards."""
    with kept_generators(device):
        _seed_generators(epoch_seed(seed, epoch), device)
        yield


def _seed_generators(seed: int, device: torch.device) -> None:
    # torch.manual_seed also queues a call, with a stack trace, for each backend not yet in use:
    # a tenth of the time of a short epoch.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def kept_generators(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Return a context that restores torch's generators on exit."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of torch's generators for an epoch."""
    return int(np.random.SeedSequence([seed, 3, epoch]).generate_state(1, np.uint64)[0])


def generator_state(device: torch.device) -> Tensor:
    """Return the state of torch's generator for a device."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.random.get_rng_state()


def set_generator_state(state: Tensor, device: torch.device) -> None:
    """Set the state of torch's generator for a device."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.random.set_rng_state(state)
