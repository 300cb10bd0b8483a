"""Rewrite the outputs and pictures in README and the manual: `python -m tests.docs.refresh`.

Without arguments, what no longer agrees with its command is rewritten (a page with a picture, as a
whole); of pages that are named, such as README or bench, everything. Times are those of this
machine: keep it idle.
"""

import sys
from pathlib import Path

from tests.docs.blocks import FILES, PICTURE, examples, pictures_agree, play, text_of


def refresh(page: str, *, everything: bool) -> list[str]:
    """Rewrite a page; the code whose output changed."""
    text, played, changed = text_of(page), play(page), list[str]()
    everything = everything or not pictures_agree(page, played)
    for example, real in reversed(list(zip(examples(page), played.outputs, strict=True))):
        new = example.excerpt(real)
        if new != example.shown and example.fence and (everything or not example.agrees(real)):
            begin, end = example.span
            text = text[:begin] + new + text[end:]
            changed.insert(0, example.code.splitlines()[0])
    FILES[page].write_text(text, "utf-8")
    if everything:
        for target in PICTURE.findall(text):
            if Path(target).name not in played.pictures:
                continue  # a picture of a page: tests.reporting.picture
            (FILES[page].parent / target).write_text(played.pictures[Path(target).name], "utf-8")
    return changed


def main(pages: list[str]) -> None:
    for page in pages or FILES:
        for code in refresh(page, everything=page in pages):
            print(f"{page}: {code}")


if __name__ == "__main__":
    main(sys.argv[1:])
