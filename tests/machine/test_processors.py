"""The choice of threads, and the cautions, for loads that are made up."""

import pytest
import torch

from actcompare.machine import processors
from actcompare.machine.processors import (
    ELEMENTS_PER_THREAD,
    FLOPS_PER_THREAD,
    free_threads,
    load_cautions,
    threads_for,
    torch_threads,
)


def load(patch: pytest.MonkeyPatch, *, own: int, usable: int, busy: float) -> None:
    patch.setattr(torch, "get_num_threads", lambda: own)
    patch.setattr(processors, "usable_cores", lambda: usable)
    patch.setattr(processors, "allowed_cores", lambda: set(range(usable)))
    patch.setattr(processors, "busy_cores", lambda: busy)
    patch.setattr(processors, "free_cores", lambda: max(1, int(usable - busy)))


@pytest.mark.parametrize("busy", [0.0, 8.0])
def test_small_work_gets_one_thread_whatever_the_load(
    busy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, own=8, usable=8, busy=busy)
    assert threads_for() == 1
    assert threads_for(FLOPS_PER_THREAD - 1, ELEMENTS_PER_THREAD - 1) == 1


def test_large_work_gets_threads_by_its_size_up_to_the_free_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(monkeypatch, own=8, usable=8, busy=0.0)
    assert threads_for(flops=FLOPS_PER_THREAD) == 2
    assert threads_for(elements=3 * ELEMENTS_PER_THREAD) == 4
    assert threads_for(flops=1e15) == 8
    load(monkeypatch, own=8, usable=8, busy=5.0)
    assert threads_for(flops=1e15) == free_threads() == 3
    load(monkeypatch, own=2, usable=8, busy=0.0)
    assert threads_for(flops=1e15) == free_threads() == 2
    load(monkeypatch, own=1, usable=8, busy=0.0)
    assert threads_for(flops=1e15) == 1


@pytest.mark.parametrize(
    ("threads", "busy", "words"),
    [
        (4, 0.0, []),
        (1, 2.9, []),
        (4, 1.0, ["other processes keep 1.0 of 4 cores busy", "wait for them, or use --threads 3"]),
        (1, 4.0, ["other processes keep 4.0 of 4 cores busy"]),
        (6, 0.0, ["6 threads share 4 cores", "use --threads 4"]),
    ],
)
def test_cautions_name_a_cure_that_is_not_in_use(
    threads: int, busy: float, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, own=4, usable=4, busy=busy)
    cautions = " ".join(load_cautions(threads))
    assert all(each in cautions for each in words)
    assert ("cores busy" in cautions) == any("cores busy" in each for each in words)
    assert not (threads == 1 and "--threads" in cautions)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before
