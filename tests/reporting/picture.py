"""Take the picture of README: `python -m tests.reporting.picture`.

It shows the top of the page that `actcompare report -o report.html` makes on this machine, in
Chromium. Keep the machine idle.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.docs.blocks import ROOT, run_in_shell
from tests.reporting.test_page import CHROMIUM

WIDTH, HEIGHT = 1120, 1170
"""In CSS pixels: down to the three bars."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "report.html")
        run_in_shell(f"actcompare report -o {file}")
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(file.as_uri())
        page.screenshot(path=ROOT / "tests" / "golden" / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
