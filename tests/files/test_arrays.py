"""Arrays come back as they were written, whatever part is taken; damage is never taken for data."""

import os
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actcompare.errors import ActcompareError
from actcompare.files import arrays
from actcompare.files.arrays import open_arrays
from actcompare.machine import memory

Numbers = npt.NDArray[Any]

pytestmark = pytest.mark.usefixtures("in_tmp")
again = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)

SAVE: dict[str, Callable[[Numbers], None]] = {
    "x.npy": lambda x: np.save("x.npy", x),
    "x.npz": lambda x: np.savez("x.npz", other=np.zeros(3), it=x),
    "packed.npz": lambda x: np.savez_compressed("packed.npz", it=x),
}


def read(name: str, parts: int = 1, kinds: str = arrays.REAL) -> Numbers:
    """The array, taken in so many parts."""
    with open_arrays(Path(name), kinds) as found:
        array = found["" if name.endswith("npy") else "it"]()
        size = -(-array.size // parts)
        taken = [array.take(min(size, array.size - first)) for first in range(0, array.size, size)]
    return np.concatenate(taken).reshape(array.shape)


SHAPES = hnp.array_shapes(max_dims=3, max_side=6)
DTYPES = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes()
)


@again
@given(hnp.arrays(DTYPES, SHAPES), st.sampled_from(sorted(SAVE)), st.booleans(), st.integers(1, 5))
def test_every_bit_comes_back(x: Numbers, name: str, in_columns: bool, parts: int) -> None:
    SAVE[name](np.asfortranarray(x) if in_columns else x)
    found = read(name, parts)
    assert found.dtype == x.dtype.newbyteorder("=")
    assert found.tobytes() == x.astype(found.dtype).tobytes()


def test_numbers_beyond_float64_are_rounded_to_it() -> None:
    np.save("x.npy", np.array([0.1, 2], dtype=np.longdouble))
    assert read("x.npy").dtype == np.float64


def test_texts_are_taken_where_they_are_asked_for() -> None:
    np.savez("x.npz", it=np.array(["a", "bc"]))
    assert read("x.npz", kinds="U").tolist() == ["a", "bc"]
    with pytest.raises(ActcompareError, match="array 'it' contains <U2, not real numbers"):
        read("x.npz")


class Bomb:
    """Unpickling it would leave a mark."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("name", sorted(SAVE))
@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([Bomb()], dtype=object), "not loaded"),
        (np.array([(1, Bomb())], dtype=[("a", "i4"), ("b", "O")]), "not loaded"),
        (np.array([1j]), "contains complex128"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "not real numbers"),
        (np.zeros((0, 3)), r"empty array of shape \(0, 3\)"),
    ],
)
def test_what_is_no_number_is_refused(name: str, array: Numbers, says: str) -> None:
    SAVE[name](array)
    with pytest.raises(ActcompareError, match=says):
        read(name)
    assert not Path("exploded").exists()


@again
@given(st.sampled_from(sorted(SAVE)), st.floats(0, 1, exclude_max=True), st.booleans())
def test_no_part_of_a_file_is_taken_for_the_whole(name: str, share: float, columns: bool) -> None:
    SAVE[name](np.arange(600.0).reshape((20, 30), order="F" if columns else "C"))
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ActcompareError, match=r"is truncated|damaged|is empty") as caught:
        read(name, 3)
    assert name in str(caught.value)


@again
@given(st.integers(0, 2**30), st.integers(1, 255))
def test_a_changed_byte_of_an_archive_changes_no_number(place: int, bits: int) -> None:
    x = np.arange(99.0)
    SAVE["packed.npz"](x)
    content = bytearray(Path("packed.npz").read_bytes())
    content[place % len(content)] ^= bits
    Path("packed.npz").write_bytes(content)
    with suppress(ActcompareError, KeyError):  # KeyError: its name was changed
        assert np.array_equal(read("packed.npz"), x)


def test_other_files_are_refused() -> None:
    for name in ("x.npy", "x.npz"):
        Path(name).write_text("no array at all")
        with pytest.raises(ActcompareError, match=f"{name} is not an .* or is damaged"):
            read(name)
        Path(name).write_bytes(b"")
        with pytest.raises(ActcompareError, match=f"{name} is empty"):
            read(name)
        Path(name).unlink()
        with pytest.raises(ActcompareError, match=f"cannot read {name}: No such file"):
            read(name)


def test_what_cannot_be_turned_in_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("x.npy", np.ones((30, 40), order="F"))
    monkeypatch.setattr(memory, "free_memory", lambda _: 1000)
    with pytest.raises(ActcompareError, match="ascontiguousarray"):
        read("x.npy")


@pytest.mark.parametrize("name", sorted(SAVE))
def test_memory_does_not_grow_with_the_file(name: str) -> None:
    peaks = []
    for size in (100_000, 1_000_000):
        SAVE[name](np.arange(size, dtype=np.float32))
        with open_arrays(Path(name)) as found:
            array = found["" if name.endswith("npy") else "it"]()
            tracemalloc.start()
            for _ in range(0, size, 10_000):
                array.take(10_000)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_an_archive_without_arrays_says_so() -> None:
    np.savez("none.npz")
    with pytest.raises(ActcompareError, match=r"none\.npz contains no arrays"):
        read("none.npz")


def raw(header: str, version: int = 1, length: int | None = None, body: bytes = b"") -> bytes:
    """The bytes of an .npy file with any header."""
    size = len(header) if length is None else length
    field = size.to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + field + header.encode() + body


def head(shape: str, dtype: str = "'<f8'", in_columns: bool = False) -> str:
    return f"{{'descr': {dtype}, 'fortran_order': {in_columns}, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (raw(head("(10**12,)")), "damaged"),
        (raw(head("(1000000000000,)")), "truncated: shape .* needs 7.276 TiB, but only 0 B"),
        (raw(head("(1000000, 1000000)", in_columns=True)), "truncated"),
        (raw(head("(3,)", "'<U12000000'")), "contains <U12000000, not real numbers"),
        (raw(head("(3,)", "('<f8', (2,))"), body=bytes(48)), "not real numbers|empty|damaged"),
        (raw(head("(-1, -1)")), "truncated|empty|damaged"),
        (raw(head("(True, True)"), body=bytes(8)), "damaged"),
        (raw(head("(1,)"), 2, 2**32 - 1), "damaged"),
        (raw("[" * 60_000, 2), "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_header_is_not_believed_before_it_is_checked(
    name: str, content: bytes, says: str
) -> None:
    if name == "x.npy":
        Path(name).write_bytes(content)
    else:
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("it.npy", content)
    tracemalloc.start()
    with pytest.raises(ActcompareError, match=says):
        read(name)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_bomb_is_refused_before_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile("x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("it.npy", raw(head("(4194304,)"), body=bytes(2**25)))
    monkeypatch.setattr(memory, "free_memory", lambda _: 2**25)
    with pytest.raises(ActcompareError, match="needs 96 MiB of memory, but only 32 MiB"):
        read("x.npz")
    assert len(read("x.npz", parts=64)) == 2**22


def test_an_encrypted_array_says_so() -> None:
    np.savez("x.npz", it=np.zeros(3))
    content = bytearray(Path("x.npz").read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + place] |= 1
    Path("x.npz").write_bytes(content)
    with pytest.raises(ActcompareError, match="array 'it' is encrypted: save it without"):
        read("x.npz")


def test_arrays_of_one_name_are_refused() -> None:
    np.save("it.npy", np.zeros(3))
    with zipfile.ZipFile("x.npz", "w") as archive:
        archive.write("it.npy", "it")
        archive.write("it.npy", "it.npy")
    with pytest.raises(ActcompareError, match="several arrays of one name"):
        read("x.npz")


def test_a_pipe_is_read_where_it_can_be() -> None:
    np.save("it.npy", np.arange(9.0))
    os.mkfifo("x.npy")
    writer = threading.Thread(target=lambda: Path("x.npy").write_bytes(Path("it.npy").read_bytes()))
    writer.start()
    assert read("x.npy", parts=3).tolist() == list(range(9))
    writer.join()
    os.mkfifo("x.npz")
    with pytest.raises(ActcompareError, match="is a pipe or a device"):
        read("x.npz")
