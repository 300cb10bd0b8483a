"""The C library's policy for large blocks, over a C library that writes down what it is asked."""

import ctypes
import platform
from typing import Any

import pytest

from actcompare.machine import allocator as module
from actcompare.machine.allocator import allocator

MMAP_MAX = -4


class Libc:
    """Its policy, and the blocks that are held."""

    def __init__(self) -> None:
        self.options: dict[int, int] = {}
        self.trims = 0
        self.malloc = self._Malloc()

    class _Malloc:
        restype: Any = None

        def __call__(self, size: Any) -> None:
            """No block is left."""

    def mallopt(self, option: int, value: int) -> None:
        self.options[option] = value

    def malloc_trim(self, _: int) -> None:
        self.trims += 1

    @property
    def regime(self) -> str:
        return "warm" if self.options[MMAP_MAX] == 0 else "fresh"


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Libc:
    made = Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: made)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.40"))
    return made


def test_each_context_restores_the_one_around_it(libc: Libc) -> None:
    with allocator("warm"):
        assert libc.regime == "warm"
        with allocator("fresh"):
            assert libc.regime == "fresh"
            with allocator("warm"):
                assert libc.regime == "warm"
            assert libc.regime == "fresh"
        assert libc.regime == "warm"
    assert libc.regime == "fresh"
    assert libc.trims > 0


def test_a_failure_restores_it_too(libc: Libc) -> None:
    with pytest.raises(ZeroDivisionError), allocator("warm"):
        _ = 1 / 0
    assert libc.regime == "fresh"
    assert module._regimes == []


def test_another_c_library_is_left_alone(libc: Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with allocator("warm"):
        assert libc.options == {}
