"""Malformed data files of every kind that is read: `python -m tests.robustness.malformed`.

Each ends in success or in one clear line: no traceback, no defect, no code run, and bounded time
and memory.
"""

import io
import os
import random
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import safetensors.torch
import torch

from tests.robustness.forked import MARK, main
from tests.robustness.mutations import damaged

MODEL = """
import torch
def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
"""

X = np.random.default_rng(0).normal(size=(40, 2))
y = np.arange(40) % 2
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y})


class Bomb:
    """Unpickling it leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (MARK,)


Kinds = Mapping[str, bytes]


def _bytes_of(write: Callable[[Any], object]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def _weights() -> dict[str, torch.Tensor]:
    space: dict[str, Any] = {}
    exec(MODEL, space)
    return dict(space["build"]().state_dict())


def _sound() -> Kinds:
    """A sound file of every kind."""
    tensors = {"x": torch.from_numpy(X.astype(np.float32))}
    return {
        "t.csv": FRAME.to_csv(index=False).encode(),
        "t.tsv": FRAME.to_csv(index=False, sep="\t").encode(),
        "t.parquet": _bytes_of(FRAME.to_parquet),
        "t.npy": _bytes_of(lambda out: np.save(out, X)),
        "t.npz": _bytes_of(lambda out: np.savez(out, X=X, y=y)),
        "z.npz": _bytes_of(lambda out: np.savez_compressed(out, X=X, y=y)),
        "t.pt": _bytes_of(lambda out: torch.save(tensors, out)),
        "old.pt": _bytes_of(
            lambda out: torch.save(tensors, out, _use_new_zipfile_serialization=False)
        ),
        "w.pt": _bytes_of(lambda out: torch.save(_weights(), out)),
        "t.safetensors": safetensors.torch.save(tensors),
        "w.safetensors": safetensors.torch.save(_weights()),
    }


# --- whole files of ill will ----------------------------------------------------------------------


def _npy(header: str, version: int = 1, length: int | None = None, body: bytes = b"") -> bytes:
    text = header.encode()
    size = len(text) if length is None else length
    return (
        b"\x93NUMPY" + bytes([version, 0]) + size.to_bytes(2 if version == 1 else 4, "little")
    ) + (text + body)


def _described(shape: str, dtype: str = "'<f8'", order: bool = False) -> str:
    return f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}}}\n"


ARRAYS = {
    "huge": _npy(_described("(1000000000000,)")),
    "overflow": _npy(_described(f"({2**62}, {2**62})")),
    "negative": _npy(_described("(-1, -1)")),
    "truths": _npy(_described("(True, True)"), body=b"\0" * 64),
    "texts": _npy(_described("(40,)", "'<U12000000'")),
    "bytes": _npy(_described("(40,)", "'|S99999999999'")),
    "records": _npy(_described("(3,)", "[('a', '<f8'), ('b', '<f8')]"), body=b"\0" * 48),
    "nested": _npy(_described("(3,)", "('<f8', (2,))"), body=b"\0" * 48),
    "void": _npy(_described("(3,)", "'|V8'"), body=b"\0" * 24),
    "object": _bytes_of(lambda out: np.save(out, np.array([Bomb()] * 40, dtype=object))),
    "complex": _bytes_of(lambda out: np.save(out, X + 1j)),
    "half": _bytes_of(lambda out: np.save(out, X.astype("f2"))),
    "long": _bytes_of(lambda out: np.save(out, X.astype(np.longdouble))),
    "dates": _bytes_of(lambda out: np.save(out, np.array(["2020-01-01"] * 40, dtype="M8[D]"))),
    "number": _bytes_of(lambda out: np.save(out, np.float64(3))),
    "empty": _bytes_of(lambda out: np.save(out, np.zeros((0, 2)))),
    "long header": _npy(_described("(1,)"), 2, 2**32 - 1, b" " * 50_000),
    "huge in columns": _npy(_described("(1000000, 1000000)", order=True)),
    "deep": _npy("[" * 20_000),
    "calls": _npy(_described(f"__import__('os').mkdir('{MARK}')")),
}


def _zipped(members: Mapping[str, bytes], encrypted: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    whole = bytearray(out.getvalue())
    if encrypted:
        for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            first = -1
            while (first := whole.find(signature, first + 1)) >= 0:
                whole[first + place] |= 1
    return bytes(whole)


def _bomb(rng: random.Random) -> bytes:
    """An archive that unpacks to far more than its size."""
    unpacked = 2**25
    header = rng.choice(
        [
            _npy(_described(f"({unpacked // 8}, 8)", "'<f8'")),
            _npy(_described("(1,)"), 2, 2**32 - 1),
            _npy(_described(f"({unpacked // 16}, 2)", "'<f8'", order=True)),
        ]
    )
    return _zipped({"X.npy": header + bytes(unpacked), "y.npy": ARRAYS["number"]})


def _columns(rng: random.Random) -> dict[str, Any]:
    n = 40
    return rng.choice(
        [
            {"a": pa.array([[1.0, 2.0]] * n), "y": y},
            {"a": pa.array([{"q": 1.0}] * n), "y": y},
            {"a": pa.array([{"q": [1.0]}] * n), "y": pa.array([{"q": 1}] * n)},
            {"a": pa.array([b"\xff\xfe"] * n), "y": y},
            {"a": X[:, 0], "y": pa.array([b"\xff"] * n)},
            {"a": pa.array([None] * n), "y": y},
            {"a": X[:, 0], "y": pa.array([None] * n)},
            {"a": pa.array(["1"] * n).dictionary_encode(), "y": pa.array(["u", "v"] * (n // 2))},
            {"a": pa.array([10**30] * n, pa.decimal128(38, 2)), "y": y},
            {"a": X[:, 0], "y": pa.array(range(n), pa.decimal128(38, 2))},
            {"a": pa.array([0] * n, pa.timestamp("ns")), "y": pa.array(range(n), pa.date32())},
            {"a": pa.array([0] * n, pa.duration("s")), "y": pa.array(range(n), pa.time32("s"))},
            {"a": pa.array([1.5] * n, pa.float16()), "y": y},
            {"a": np.full(n, np.inf), "y": y},
            {"a": pa.array([2**64 - 1] * n, pa.uint64()), "y": y},
            {"": X[:, 0], " ": X[:, 1], "y": y},
        ]
    )


def _encrypted_parquet(_: random.Random) -> bytes:
    """A file whose beginning and end say that it is encrypted."""
    whole = _bytes_of(FRAME.to_parquet)
    return b"PARE" + whole[4:-4] + b"PARE"


def _twins(_: random.Random) -> bytes:
    table = pa.table([X[:, 0], X[:, 1], y, y], names=["a", "y", "y", "b"])
    return _bytes_of(lambda out: pyarrow.parquet.write_table(table, out))


TEXTS = (
    b"a,b,y,y\n" + b"1,2,0,1\n" * 40,
    b"a,a,y\n" + b"1,2,0\n" * 40,
    "a,b,y\n1,2,é\n".encode("latin-1") * 30,
    "a,b,y\n1,2,0\n2,1,1\n".encode("utf-16"),
    b"a,b,y\n" + b"1,2,0\n" * 5 + b"1,2\n" * 5,
    b"a,b,y\n" + b"1,2,0,4\n" * 9,
    b'a,b,y\n"1,2,0\n' * 20,
    b"a,b,y\n" + b"9" * 200_000 + b",2,0\n" * 3,
    b'a,b,y\n"' + b"9" * 200_000 + b'",2,0\n' * 3,
    b"a,b,y\n" + b"1,nan,0\n,,\n1e999,2,1\n" * 9,
    b"\0" * 10_000,
    b"a,b,y\n" + b"\0\0,2,0\n" * 10,
    b",,\n" + b"1,2,0\n1,3,1\n" * 20,
    b"," * 5000 + b"\n" + b"," * 5000,
    b"\r" * 100,
    b"\xef\xbb\xbf\n\n\n",
    b"y\n1\n2\n",
    b"a,b,y\n" + b"1+2j,2,0\n2,1,1\n" * 20,
    b"a,b,y\n" + b"True,2020-01-01,x\nFalse,2020-01-02,z\n" * 20,
    b"a,b,y\n" + b"99999999999999999999999,2,0\n1,2,1\n" * 20,
    b"\x1b[2J,b,y\n" + b"\x1b[31m,2,0\nq,2,1\n" * 20,
)


def _tensors(rng: random.Random) -> Any:
    warnings.simplefilter("ignore")  # torch's, on rare kinds of tensors
    plain = torch.randn(40, 2)
    loop: list[Any] = []
    loop.append(loop)
    jagged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    return rng.choice(
        [
            plain.to_sparse(),
            plain.to_sparse_csr(),
            {"x": plain.to_sparse()},
            {"state_dict": {"0.weight": plain.to_sparse()}},
            torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
            {"x": torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)},
            jagged,
            {"x": jagged},
            plain + 1j,
            {"x": plain + 1j},
            [plain, plain + 1j],
            torch.empty(40, 2, device="meta"),
            {"x": torch.empty(40, 2, device="meta")},
            torch.ones(1).expand(10**12, 2),
            {"x": torch.ones(1, 1).expand(40, 10**12)},
            {**_weights(), "0.weight": torch.ones(1).expand(3, 10**12)},
            {**_weights(), "0.weight": torch.zeros(3, 2).to_sparse()},
            {**_weights(), "0.weight": torch.zeros(3, 2) + 1j},
            {**_weights(), "0.weight": torch.full((3, 2), torch.nan)},
            {key: value.bool() for key, value in _weights().items()},
            {key: value.half() for key, value in _weights().items()},
            {1: plain, None: plain},
            {"x": {"x": {"x": plain}}},
            torch.tensor(3.0),
            {"x": torch.tensor(3.0)},
            torch.zeros(0, 2),
            torch.zeros(40, 0),
            plain.bool(),
            plain.to(torch.float8_e4m3fn),
            plain.to(torch.bfloat16),
            torch.zeros(40, 2, dtype=torch.uint16),
            torch.full((40, 2), torch.inf),
            loop,
            {"x": loop},
            [],
            {},
            None,
            "text",
            Bomb(),
            {"x": Bomb()},
            bytearray(10),
        ]
    )


def _ill_will(rng: random.Random) -> tuple[str, bytes]:
    """Return the name and content of a file that someone took care to write."""
    array = rng.choice(list(ARRAYS.values()))
    sound = ARRAYS["half"]
    kinds: list[Callable[[], tuple[str, bytes]]] = [
        lambda: ("t.npy", array),
        lambda: ("t.npz", _zipped({"X.npy": array, "y.npy": rng.choice([sound, array])})),
        lambda: ("t.npz", _zipped({"X.npy": sound, "y.npy": array})),
        lambda: ("t.npz", _zipped({"X.npy": sound, "y.npy": sound}, encrypted=True)),
        lambda: ("t.npz", _bomb(rng)),
        lambda: ("t.npz", _zipped({"../X.npy": sound, "X": sound, "y.npy": sound})),
        lambda: (
            "t.parquet",
            _bytes_of(lambda out: pyarrow.parquet.write_table(pa.table(_columns(rng)), out)),
        ),
        lambda: ("t.parquet", rng.choice([_encrypted_parquet, _twins])(rng)),
        lambda: (rng.choice(["t.csv", "t.tsv"]), rng.choice(TEXTS)),
        lambda: ("t.pt", _bytes_of(lambda out: torch.save(_tensors(rng), out))),
        lambda: ("t.pt", _bytes_of(lambda out: torch.save(_tensors(rng), out))),
        lambda: ("t.pt", _zipped({"t/data.pkl": bytes(2**27), "t/version": b"3"})),
    ]
    return rng.choice(kinds)()


# --- cases ----------------------------------------------------------------------------------------

SOUND = _sound()


def _command(rng: random.Random, name: str) -> Sequence[str]:
    """Return a command line that reads a file."""
    kind = name.partition(".")[2]
    evaluate = ["eval", "--act", "relu", "--format", "csv", "--file", name]
    train = ["train", "--data", name, "--epochs", "1", "--hidden", "4", "--threads", "1"]
    inspect = ["inspect", "model.py:build", "--threads", "1", "--data", name]
    weights = ["inspect", "model.py:build", "--random", "2", "--quiet", "--checkpoint", name]
    if kind in ("pt", "safetensors"):
        return weights if name.startswith("w") or rng.random() < 0.3 else inspect
    if kind == "npy":
        return rng.choice([evaluate, inspect])
    if kind == "npz":
        keys = ["--input-key", "X"]
        return rng.choice([[*evaluate, "--key", "X"], train, [*inspect, *keys]])
    column = rng.choice(["a", "y"])
    keys = rng.choice([[], ["--input-key", "a", "--input-key", "b"]])
    return rng.choice(
        [[*evaluate, "--column", column], [*train, "--target", "y"], [*inspect, *keys]]
    )


def _made(rng: random.Random, folder: Path, name: str, content: bytes) -> Sequence[str]:
    (folder / "model.py").write_text(MODEL)
    (folder / name).write_bytes(content)
    return _command(rng, name)


def damage(rng: random.Random, folder: Path) -> Sequence[str]:
    """Bytes of a sound file are changed."""
    name = rng.choice(sorted(SOUND))
    return _made(rng, folder, name, damaged(rng, SOUND[name]))


def ill_will(rng: random.Random, folder: Path) -> Sequence[str]:
    """A file is well made, but holds what is not expected."""
    return _made(rng, folder, *_ill_will(rng))


def disguise(rng: random.Random, folder: Path) -> Sequence[str]:
    """A file has another one's name, or is a device, a pipe or a folder."""
    name = rng.choice(sorted(SOUND))
    arguments = _made(rng, folder, name, SOUND[rng.choice(sorted(SOUND))])
    streams = name.endswith(("csv", "tsv", "npy"))
    special: list[Callable[[Path], object]] = [
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/dev/urandom"),
        lambda path: path.symlink_to("/dev/null"),
        lambda path: path.symlink_to("/proc/self/mem"),
        lambda path: path.symlink_to(path),
        lambda path: path.mkdir(),
        Path.exists,  # another kind of file
    ]
    if not streams:  # where a pipe is accepted, it is waited for
        special.append(os.mkfifo)
    if rng.random() < 0.6:
        (folder / name).unlink()
        rng.choice(special)(folder / name)
    return arguments


CASES = (damage, ill_will, damage, disguise, ill_will)

if __name__ == "__main__":
    main(CASES, "malformed files")
