"""Saved data come back as they were; whatever else stands in them is named, with its field."""

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from actcompare.bounds import Amount, AtLeastOne, Count, Label, Positive, Share
from actcompare.errors import ActcompareError
from actcompare.files import saved
from actcompare.files.saved import checked, read_json

pytestmark = pytest.mark.usefixtures("in_tmp")


@dataclass(frozen=True)
class Part:
    name: Label
    count: Count
    lengths: Annotated[tuple[Positive, ...], AtLeastOne]


@dataclass(frozen=True)
class Whole:
    part: Part
    parts: tuple[Part, ...]
    loss: float
    amount: Amount
    share: Share | None = None
    later: bool = field(default=False)

    def __post_init__(self) -> None:
        if self.amount == 13:
            raise ValueError("13 brings bad luck")


WHOLE = Whole(Part("a", 0, (1, 2)), (Part("b", 5, (3,)),), math.inf, 2.5, 1.0)


def plain(whole: Whole = WHOLE) -> dict[str, Any]:
    return asdict(whole)


def test_what_was_saved_comes_back() -> None:
    assert checked(Whole, plain(), Path("f"), "cure") == WHOLE
    nan = checked(Whole, plain() | {"loss": math.nan, "amount": 2}, Path("f"), "cure")
    assert math.isnan(nan.loss)
    assert nan.amount == 2.0


def test_fields_that_came_later_may_be_missing() -> None:
    content = plain()
    del content["share"], content["later"]
    assert checked(Whole, content, Path("f"), "cure").share is None


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("loss", "NaN", "loss should be a valid number, not 'NaN'"),
        ("loss", True, "loss should be a valid number, not true"),
        ("amount", math.nan, "amount should be finite, not nan"),
        ("amount", math.inf, "amount should be finite, not inf"),
        ("amount", 13, "its content: 13 brings bad luck"),
        ("share", 1.5, "share should be less than or equal to 1, not 1.5"),
        ("later", 1, "later should be a valid boolean, not 1"),
        ("more", 1, "more is unknown"),
        ("part", [], r"part should be an object, not \[\]"),
        ("part.count", 2.0, "part.count should be a valid integer, not 2.0"),
        ("part.count", 10**30, "part.count should be less than 18446744073709551616"),
        ("part.name", None, "part.name should be a valid string, not null"),
        ("part.name", "x" * 5000, "part.name should have at most 1000 characters, not 'xxx"),
        ("part.lengths", [], "part.lengths should not be empty"),
        ("parts.0.lengths.0", 0, "parts.0.lengths.0 should be greater than or equal to 1, not 0"),
    ],
)
def test_a_field_is_named_with_what_was_expected(path: str, value: object, said: str) -> None:
    content = json.loads(json.dumps(plain()))
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = content
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(ActcompareError, match=f"^some/file is damaged: {said}.*: buy another$"):
        checked(Whole, content, Path("some/file"), "buy another")


@pytest.mark.parametrize("gone", ["part", "loss"])
def test_a_missing_field_is_named(gone: str) -> None:
    content = plain()
    del content[gone]
    with pytest.raises(ActcompareError, match=f"{gone} is missing"):
        checked(Whole, content, Path("f"), "cure")


def test_messages_are_short() -> None:
    for value in ("x" * 10**5, [1] * 10**5, {"k" * 10**5: 1}):
        with pytest.raises(ActcompareError) as caught:
            checked(Whole, plain() | {"loss": value}, Path("f"), "cure")
        assert len(str(caught.value)) < 400


# --- files ---------------------------------------------------------------------------------------


def read(content: str | bytes) -> dict[str, Any]:
    Path("f").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_json(Path("f"), "form", 3, "actcompare do --save")


def test_the_content_is_returned() -> None:
    content = {"format": "form", "format_version": 3, "x": [1]}
    assert read(json.dumps(content)) == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "f is empty"),
        ("{", "f is damaged or was not written by `actcompare do --save`"),
        (b"\xff\xfe{}", "f is damaged or was not written by"),
        ("[" * 10**5, "f is damaged or was not written by"),
        ("9" * 5000, "f is damaged or was not written by"),
        ("[]", "f was not written by `actcompare do --save`"),
        ('{"format": "other"}', "f was not written by"),
        ('{"format": "form"}', "f has format version null, but this actcompare reads version 3"),
        ('{"format": "form", "format_version": "3"}', "has format version '3'"),
    ],
)
def test_what_was_not_saved_is_told(content: str | bytes, said: str) -> None:
    with pytest.raises(ActcompareError, match=said):
        read(content)


def test_only_regular_files_of_sane_size_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("pipe")
    for name in ("pipe", "/dev/zero"):
        with pytest.raises(ActcompareError, match="is a pipe or a device"):
            read_json(Path(name), "form", 3, "w")
    with pytest.raises(ActcompareError, match="Is a directory"):
        read_json(Path(), "form", 3, "w")
    monkeypatch.setattr(saved, "LARGEST", 10)
    with pytest.raises(ActcompareError, match="f is larger than 10 B"):
        read('{"format": "form"}')
