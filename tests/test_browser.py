"""The browser that judges our pages notices what they must not do."""

from pathlib import Path

from tests.browser import Browser


def test_an_error_in_the_console_and_a_request_are_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p>x</p><script src="https://example.org/a.js"></script><script>missing()</script>')
    browser.open(page)
    assert browser.external_requests() == ["https://example.org/a.js"]
    assert any("missing is not defined" in complaint for complaint in browser.complaints())


def test_a_quiet_page_is_quiet_whatever_the_page_before_it_did(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<!DOCTYPE html><p id="a">x</p><script>setTimeout(() => { window.done = 7 }, 50)</script>')
    browser.open(page)
    assert browser.wait("return window.done") == 7
    assert browser.run("return document.getElementById(arguments[0]).textContent", "a") == "x"
    assert browser.external_requests() == []
    assert browser.complaints() == []
