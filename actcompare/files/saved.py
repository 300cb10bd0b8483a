"""Read what actcompare saved: every field is checked against a dataclass before it is used."""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from actcompare.errors import ActcompareError
from actcompare.files.reading import reading
from actcompare.text import in_bytes

T = TypeVar("T")

LARGEST = 2**27
"""Most bytes of a saved JSON file."""


def read_json(path: Path, form: str, version: int, writer: str) -> dict[str, Any]:
    """Return the content of a JSON file whose `format` and `format_version` are as expected.

    Args:
        path: The file.
        form: The expected format.
        version: The expected format version.
        writer: The command that writes such files.

    Raises:
        ActcompareError: The file cannot be read, is damaged, was written by something else, or has
            another version.
    """
    with reading(path), path.open("rb") as stream:
        text = stream.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ActcompareError(
            f"{path} is larger than {in_bytes(LARGEST)}, so it was not written by `{writer}`"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ActcompareError(
            f"{path} is damaged or was not written by `{writer}`: {error}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != form:
        raise ActcompareError(f"{path} was not written by `{writer}`")
    if content.get("format_version") != version:
        raise ActcompareError(
            f"{path} has format version {_shown(content.get('format_version'))}, but this"
            f" actcompare reads version {version}: use the actcompare that wrote it"
        )
    return content


def checked(kind: type[T], content: Any, path: Path, cure: str) -> T:
    """Make a value of a dataclass from plain data, such as JSON holds.

    No value is converted, except whole numbers to floats and lists to tuples, and no field may be
    missing or unknown. Bounds (`actcompare.bounds`) and each `__post_init__` are checked.

    Args:
        kind: The dataclass, or a tuple of them.
        content: Lists, dicts, texts, numbers, truth values and None.
        path: The file that holds the data.
        cure: What to do about a damaged file.

    Raises:
        ActcompareError: The data does not fit; names the field and what was expected.
    """
    import pydantic

    try:
        # JSON has no tuples and no instances, so that strictness applies to numbers and texts only.
        text = json.dumps(content, default=lambda _: None)
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except pydantic.ValidationError as error:
        said = _short(_described(error.errors(include_url=False)[0]), 300)
    except RecursionError:
        said = "it is nested too deeply"
    raise ActcompareError(f"{path} is damaged: {said}: {cure}")


_EXPECTED = {
    "missing": "is missing",
    "unexpected_keyword_argument": "is unknown",
    "dataclass_type": "should be an object",
    "too_short": "should not be empty",
}


def _described(error: Any) -> str:
    """Describe the first error of pydantic's in a line."""
    # pydantic also names the dataclass, where there is a choice of several.
    field = ".".join(str(part) for part in error["loc"] if not str(part)[:1].isupper())
    field = field or "its content"
    if error["type"] == "value_error":
        return f"{field}: {error['ctx']['error']}"
    if error["type"] == "json_invalid":
        return re.sub(r"^Invalid JSON: | at line .*", "", error["msg"])
    expected = _EXPECTED.get(error["type"]) or re.sub(r"^\w+ should", "should", error["msg"])
    expected = expected.replace("less than inf", "finite")
    if error["type"] in ("missing", "unexpected_keyword_argument", "too_short"):
        return f"{field} {expected}"
    return f"{field} {expected}, not {_shown(error['input'])}"


def _shown(value: object) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return _short(text, 40)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
