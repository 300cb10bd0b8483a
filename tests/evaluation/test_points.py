import math
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actcompare.errors import ActcompareError, UsageError
from actcompare.evaluation.points import CHUNK, from_arguments, from_file, from_range, from_text


def flat(chunks: object) -> list[float]:
    return np.concatenate(list(chunks)).tolist()  # type: ignore[call-overload,no-any-return]


def test_arguments() -> None:
    numbers = flat(from_arguments(["-2", "1e-3", "inf", "-inf", "+5", ".5", "nan"]))
    assert str(numbers) == "[-2.0, 0.001, inf, -inf, 5.0, 0.5, nan]"


@pytest.mark.parametrize("bad", ["abc", "", "1,2", "0x10", "1e400", "--5", "1_000"])
def test_arguments_that_are_no_numbers(bad: str) -> None:
    with pytest.raises(UsageError, match=r"is not a number|out of range"):
        flat(from_arguments(["1", bad]))


@pytest.mark.parametrize(
    ("start", "stop", "count"), [(-1.0, 1.0, 3), (0.0, 0.3, 4), (5.0, -5.0, 11), (1.0, 1.0, 2)]
)
def test_a_range_includes_its_ends(start: float, stop: float, count: int) -> None:
    numbers = flat(from_range(start, stop, count))
    assert (numbers[0], numbers[-1], len(numbers)) == (start, stop, count)
    np.testing.assert_allclose(numbers, np.linspace(start, stop, count), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (0, 100_000), (-7, 300)])
def test_whole_numbers_stay_whole(start: int, stop: int) -> None:
    numbers = flat(from_range(start, stop, stop - start + 1))
    assert numbers == list(range(start, stop + 1))


def test_a_long_range_comes_in_chunks() -> None:
    count = 2 * CHUNK + 5
    chunks = list(from_range(-1, 1, count))
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 5]
    assert flat(chunks)[(count - 1) // 2] == 0.0


@pytest.mark.parametrize(("start", "stop", "count"), [(0, 1, 1), (0, 1, -3), (0, math.inf, 3)])
def test_bad_ranges(start: float, stop: float, count: int) -> None:
    with pytest.raises(UsageError, match="--range needs"):
        flat(from_range(start, stop, count))


def test_text() -> None:
    assert flat(from_text(["1 2,3\n", "\n", " -4 ,\t5 \n"], "it")) == [1, 2, 3, -4, 5]
    with pytest.raises(ActcompareError, match="it, line 2: 'x' is not a number"):
        flat(from_text(["1\n", "2 x\n"], "it"))
    with pytest.raises(ActcompareError, match="it contains no numbers"):
        flat(from_text(["\n"], "it"))


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def files(in_tmp: Path) -> Path:
    """The same two numbers in every kind of file, alone as `one`, among others as `two`."""
    x, n = np.array([-2.0, 0.1]), np.array([7.0, 8.0])
    np.save("one.npy", x)
    np.savez("one.npz", it=x)
    np.savez_compressed("two.npz", n=n, z=x)
    for name, frame in (("one", {"it": x}), ("two", {"n": n, "z": x}), ("x", {"n": n, "x": x})):
        pd.DataFrame(frame).to_csv(f"{name}.csv", index=False)
        pd.DataFrame(frame).to_csv(f"{name}.tsv", index=False, sep="\t")
        pd.DataFrame(frame).to_parquet(f"{name}.parquet")
    return in_tmp


@pytest.mark.usefixtures("files")
def test_every_kind_of_file() -> None:
    for ending in ("csv", "tsv", "parquet", "npy", "npz"):
        assert flat(from_file(Path(f"one.{ending}"))) == [-2.0, 0.1]
    for ending in ("csv", "tsv", "parquet"):
        assert flat(from_file(Path(f"x.{ending}"))) == [-2.0, 0.1]
        assert flat(from_file(Path(f"two.{ending}"), column="z")) == [-2.0, 0.1]
        with pytest.raises(UsageError, match="columns n, z: choose one with --column"):
            flat(from_file(Path(f"two.{ending}")))
    assert flat(from_file(Path("two.npz"), key="z")) == [-2.0, 0.1]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("two.npz", {}, "arrays n, z: choose one with --key"),
        ("two.npz", {"key": "y"}, "no array 'y': it has n, z"),
        ("two.npz", {"column": "z"}, "--column applies only to tables"),
        ("one.npy", {"key": "z"}, "--key applies only to .npz"),
        ("two.csv", {"key": "z"}, "--key applies only to .npz"),
        ("two.csv", {"column": "y"}, "no column 'y': it has n, z"),
        ("one.xlsx", {}, "use a .csv, .tsv, .parquet, .npy or .npz file"),
    ],
)
def test_requests_that_do_not_fit_the_file(name: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        flat(from_file(Path(name), **options))


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    numbers = np.arange(20 * CHUNK, dtype=np.float32)
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        path.write_text("x\n" + "\n".join(map(str, numbers)))
    elif kind == "parquet":
        pd.DataFrame({"x": numbers}).to_parquet(path, row_group_size=CHUNK)
    else:
        {"npy": np.save, "npz": np.savez}[kind](path, numbers)
    total, peaks = 0.0, []
    tracemalloc.start()
    for chunk in from_file(path):
        total += chunk.sum()
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert total == numbers.sum(dtype=np.float64)
    assert peaks[-1] < 1.3 * peaks[1]
