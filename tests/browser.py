"""A real browser without network and without window, for the pages we write: Debian's chromium, driven by selenium."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # Root, as in a container, has no sandbox.
    "--disable-dev-shm-usage",  # A container's /dev/shm is too small.
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1280,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # No name has an address: whatever leaves the page fails.
)
_LOCAL = ("file:", "data:", "blob:", "about:", "chrome:")


class Browser:
    """One page at a time, and what it did.

    Attributes:
        driver: selenium's, for what is not wrapped here.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        """Load a file and forget what the page before it did."""
        self.driver.get("about:blank")
        self._read_log("browser")
        self._read_log("performance")
        self.driver.get(path.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page; what it returns comes back."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, seconds: float = 60) -> Any:
        """Wait until JavaScript returns something that is true, and return it."""
        condition: Callable[[webdriver.Chrome], Any] = lambda driver: driver.execute_script(script)  # noqa: E731
        return WebDriverWait(self.driver, seconds).until(condition, script)

    def complaints(self) -> list[str]:
        """Return the console's errors and warnings since the page was opened, or since the last call."""
        return [entry["message"] for entry in self._read_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def external_requests(self) -> list[str]:
        """Return the addresses outside this machine that were asked for since the page was opened, or the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._read_log("performance")]
        requests = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [url for url in (request["request"]["url"] for request in requests) if not url.startswith(_LOCAL)]

    def screenshot(self, path: Path) -> None:
        """Write what is in the window to a PNG."""
        path.write_bytes(self.driver.get_screenshot_as_png())

    def _read_log(self, name: str) -> list[dict[str, Any]]:
        """Return what was logged since the last call."""
        entries: list[dict[str, Any]] = self.driver.get_log(name)  # type: ignore[no-untyped-call]
        return entries


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser; skip the test where none is installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = chromium
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, Service(driver)) as started:
        yield Browser(started)
