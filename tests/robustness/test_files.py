"""The first of the malformed files and tampered saves; the scripts here run as many as asked."""

import sys

import pytest

from tests.robustness import malformed, tampered
from tests.robustness.forked import attack, warm_up

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_up()


def test_malformed_files_are_read_or_refused_in_one_line() -> None:
    assert attack(malformed.CASES, range(12), seed=7) == []


def test_tampered_saves_are_read_or_refused_in_one_line() -> None:
    tampered.sound()
    assert attack(tampered.CASES, range(12), seed=7) == []
