"""What a seed decides: weights, the order of batches, and torch's random numbers of an epoch."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def batch_order(samples: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """The order of the samples in an epoch: the same for every activation, shape (sample,)."""
    order = np.random.default_rng([seed, 2, epoch]).permutation(samples)
    return torch.from_numpy(order).to(device)


@contextlib.contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Torch's generators seeded for an epoch (0 draws the weights), and afterwards as they were."""
    with kept_generators(device):
        torch.manual_seed(epoch_seed(seed, epoch))
        yield


def kept_generators(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Torch's generators are afterwards as they were."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def epoch_seed(seed: int, epoch: int) -> int:
    """What torch's generators are seeded with for an epoch."""
    return int(np.random.SeedSequence([seed, 3, epoch]).generate_state(1, np.uint64)[0])


def generator_state(device: torch.device) -> Tensor:
    """Where torch's generator for a device stands."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.random.get_rng_state()


def set_generator_state(state: Tensor, device: torch.device) -> None:
    """Put torch's generator for a device where it stood."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.random.set_rng_state(state)
