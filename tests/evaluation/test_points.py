import math
import tracemalloc
from collections.abc import Callable
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
    with pytest.raises(UsageError, match=r"is not a number|beyond float64"):
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
    with pytest.raises(ActcompareError, match="it holds no numbers"):
        flat(from_text(["\n"], "it"))


# --- files ---------------------------------------------------------------------------------------

NUMBERS = [-2.0, 0.1, 5.0, 1e-300]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("one.csv", "z\n-2\n0.1\n5\n1e-300\n", None),
        ("x_among.csv", "n,x\n9,-2\n9,0.1\n9,5\n9,1e-300\n", None),
        ("named.csv", "n,my z\n9,-2\n9,0.1\n9,5\n9,1e-300\n", "my z"),
        ("spaced.csv", "n , z \n9, -2\n9, 0.1\n9, 5\n9, 1e-300\n", "z"),
        ("quoted.csv", 'n,z\n"a,b","-2"\n9,0.1\n9,5\n9,1e-300\n', "z"),
        ("bare.csv", "-2\n0.1\n5\n1e-300\n", None),
        ("bare2.csv", "9,-2\n9,0.1\n9,5\n9,1e-300\n", "2"),
        ("windows.csv", "﻿z\r\n-2\r\n0.1\r\n\r\n5\r\n1e-300\r\n", None),
        ("no_end.csv", "z\n-2\n0.1\n5\n1e-300", None),
        ("it.tsv", "n\tz\na b\t-2\nc\t0.1\nd\t5\ne\t1e-300\n", "z"),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, column: str | None) -> None:
    assert flat(from_file(write(tmp_path / name, content), column)) == NUMBERS


def test_decimals_are_rounded_correctly(tmp_path: Path) -> None:
    """As Python's float does; many CSV readers are an ulp off on some."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500)
    texts = [repr(v) for v in numbers.tolist()]
    path = write(tmp_path / "x.csv", "x\n" + "\n".join(texts) + "\n")
    assert flat(from_file(path)) == [float(text) for text in texts]


@pytest.mark.parametrize(
    ("content", "column", "says"),
    [
        ("", None, "is empty"),
        ("\n\n", None, "is empty"),
        ("z\n", None, "has a header but no rows"),
        ("a,b\n1,2\n", None, "columns a, b: choose one with --column"),
        ("a,b\n1,2\n", "c", "no column 'c', but a, b"),
        ("a,a\n1,2\n", "a", "2 columns named 'a'"),
        ("a,b\n1,2\n3\n", "a", "row 3: 1 fields, but 2 columns"),
        ("a,b\n1,2\n3,4,5\n", "a", "row 3: 3 fields, but 2 columns"),
        ("a\n1\ntwo\n", None, "row 3, column 'a': 'two' is not a number"),
        ("a,b\n1,2\n,4\n", "a", "row 3, column 'a': an empty field"),
        ("a\n1\n1e999\n", None, "row 3, column 'a': '1e999' is beyond float64"),
        ('a\n"1\n2\n', None, "row 3, column 'a'"),
        (b"a\n\xff\xfe1\n", None, "is not UTF-8 text"),
        (bytes(range(256)) * 8, None, "is not UTF-8 text"),
        (b"\x00\x01\x02" * 99, None, "no column|header but no rows|is not a table"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str | bytes, column: str | None, says: str) -> None:
    path = write(tmp_path / "x.csv", content)
    with pytest.raises(ActcompareError, match=says) as caught:
        flat(from_file(path, column))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">f8", "i8", "u1", "?"])
def test_npy(tmp_path: Path, dtype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    assert flat(from_file(tmp_path / "x.npy")) == [0, 1, 1, 1, 0, 1]


def test_fortran_order_is_read_in_c_order(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "x.npy", np.asfortranarray(array))
    assert flat(from_file(tmp_path / "x.npy")) == array.reshape(-1).tolist()


class Bomb:
    """Unpickling it would leave a mark."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("exploded"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([Bomb()], dtype=object), "never unpickled"),
        (np.array(["a"]), "holds <U1, not real numbers"),
        (np.array([1j]), "holds complex128"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "not real numbers"),
        (np.zeros((0, 3)), "empty array"),
    ],
)
def test_bad_arrays(in_tmp: Path, array: np.ndarray[tuple[int, ...], np.dtype], says: str) -> None:
    np.save("x.npy", array)
    np.savez("x.npz", it=array)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(ActcompareError, match=says):
            flat(from_file(Path(name)))
    assert not (in_tmp / "exploded").exists()


def test_damaged_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(1000))
    whole = (tmp_path / "x.npy").read_bytes()
    for content, says in [(whole[:500], "cut short"), (whole[:20], "damaged"), (b"abc", "damaged")]:
        with pytest.raises(ActcompareError, match=says):
            flat(from_file(write(tmp_path / "x.npy", content)))
    np.savez(tmp_path / "x.npz", a=np.ones(1000))
    archive = bytearray((tmp_path / "x.npz").read_bytes())
    archive[300] ^= 255
    with pytest.raises(ActcompareError, match="damaged"):
        flat(from_file(write(tmp_path / "x.npz", bytes(archive))))
    with pytest.raises(ActcompareError, match=r"not an .npz file"):
        flat(from_file(write(tmp_path / "x.npz", b"abc")))


def test_npz_needs_a_key_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.ones(2), b=np.zeros(3))
    assert flat(from_file(path, key="b")) == [0, 0, 0]
    with pytest.raises(UsageError, match="arrays a, b: choose one with --key"):
        flat(from_file(path))
    with pytest.raises(ActcompareError, match="no array 'c', but a, b"):
        flat(from_file(path, key="c"))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pd.DataFrame({"n": ["a", "b"], "z": [1.5, -2.0]}).to_parquet(path)
    assert flat(from_file(path, "z")) == [1.5, -2.0]
    with pytest.raises(ActcompareError, match="column 'n' holds"):
        flat(from_file(path, "n"))
    with pytest.raises(ActcompareError, match="no column 'y', but n, z"):
        flat(from_file(path, "y"))
    with pytest.raises(ActcompareError, match="not a Parquet file"):
        flat(from_file(write(path, b"abcabcabcabc")))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ActcompareError, match=r"cannot read .*: No such file"):
        flat(from_file(tmp_path / "x.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ActcompareError, match=r"cannot read .*: Is a directory"):
        flat(from_file(tmp_path / "folder.csv"))
    with pytest.raises(UsageError, match=r"only .csv, .tsv"):
        flat(from_file(tmp_path / "x.xlsx"))
    with pytest.raises(UsageError, match="--column is for tables"):
        flat(from_file(tmp_path / "x.npy", column="a"))
    with pytest.raises(UsageError, match=r"--key is for .npz"):
        flat(from_file(tmp_path / "x.csv", key="a"))


@pytest.mark.parametrize("kind", ["npy", "npz", "csv"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    numbers = np.arange(20 * CHUNK, dtype=np.float32) if kind != "csv" else np.arange(4 * CHUNK)
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        write(path, "x\n" + "\n".join(map(str, numbers)))
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
