"""Activations without --act are shown with it."""

import shlex

import pytest

from tests.conftest import Run


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bench relu softplus", "bench --act relu --act softplus"),
        ("bench --act relu relu --size 8", "bench --act relu --act relu --size 8"),
        ("bench -- 'my file.py:f'", "bench --act 'my file.py:f'"),
        ("table F.relu,tanh -f csv", "table --act F.relu,tanh -f csv"),
        ("train relu --epochs 3", "train --act relu --epochs 3"),
        ("train --act relu softplus", "study --act relu --act softplus"),
        ("study relu softplus --depth 3", "study --act relu --act softplus --depth 3"),
        ("eval relu", "eval --act relu -2 0 5"),
        ("eval relu -inf 1", "eval --act relu -inf 1"),
        ("eval -- relu -2", "eval --act relu -- -2"),
        ("eval relu --range 0 1 3", "eval --act relu --range 0 1 3"),
    ],
)
def test_the_line_is_shown_corrected(run: Run, typed: str, meant: str) -> None:
    done = run(*shlex.split(typed))
    assert (done.exit_code, done.stdout) == (2, "")
    said = done.stderr.removesuffix("\n")
    assert "\n" not in said
    assert said.endswith((f": actcompare {meant}", f": root {meant}"))


@pytest.mark.parametrize("typed", ["bench 4096", "bench sofplus", "eval sofplus", "train x=1"])
def test_what_is_no_activation_is_told_of_the_option(run: Run, typed: str) -> None:
    done = run(*typed.split())
    assert done.exit_code == 2
    assert repr(typed.split()[1]) in done.stderr
    assert "activations" in done.stderr
    assert "--act" in done.stderr


def test_commas_are_understood(run: Run) -> None:
    several = run("eval", "1", "--act", "nn.ReLU(),softplus(beta=2)", "--format", "csv")
    assert several.stdout == run(
        "eval", "1", "--act", "relu", "--act", "softplus:beta=2", "--format", "csv"
    ).stdout  # fmt: skip
