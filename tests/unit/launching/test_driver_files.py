"""Which driver is taken: one that is here and fits, then Selenium Manager's, then what is packaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser_runtime.launching import driver_files
from browser_runtime.launching.driver_files import find_driver


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setattr(driver_files, "USUAL_PLACES", ())
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The extra `drivers`: a chromedriver of version 153."""
    driver = make_program(tmp_path / "packaged/chromedriver_linux64", "ChromeDriver 153.0.8010.52 (abc)")
    monkeypatch.setattr(
        driver_files, "find_packaged", lambda name: driver if name == "chromedriver" else None
    )
    return driver


def make_program(path: Path, says: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_driver_on_path_that_fits_comes_before_the_packaged_one(path: Path, packaged: Path) -> None:
    driver = make_program(path / "chromedriver", "ChromeDriver 153.0.1.2")
    assert find_driver("chromedriver", Path("/opt/shell/chromium"), "153.0.8010.0") == (driver, None)


def test_a_driver_beside_the_browser_comes_first(path: Path, packaged: Path, tmp_path: Path) -> None:
    make_program(path / "chromedriver", "ChromeDriver 153.0.1.2")
    beside = make_program(tmp_path / "browser/chromedriver", "ChromeDriver 153.9.9.9")
    link = tmp_path / "chromium"
    link.symlink_to(make_program(tmp_path / "browser/chromium", "Chromium 153.0"))
    assert find_driver("chromedriver", link, "153.0.8010.0") == (beside, None)


def test_a_driver_of_another_version_is_passed_over(path: Path, packaged: Path) -> None:
    make_program(path / "chromedriver", "ChromeDriver 156.0.8078.108")
    assert find_driver("chromedriver", Path("/opt/shell/chromium"), "153.0.8010.0") == (None, packaged)


def test_where_nothing_fits_what_is_on_path_serves_last(path: Path, packaged: Path) -> None:
    driver = make_program(path / "chromedriver", "ChromeDriver 156.0.8078.108")
    assert find_driver("chromedriver", Path("/opt/chromium"), "149.0.1.2") == (None, driver)


def test_any_geckodriver_fits_any_firefox(path: Path) -> None:
    driver = make_program(path / "geckodriver", "geckodriver 0.36.0")
    assert find_driver("geckodriver", Path("/opt/firefox/firefox"), "153.7.0esr") == (driver, None)


def test_a_file_that_cannot_be_run_is_no_driver(path: Path, packaged: Path) -> None:
    (path / "chromedriver").write_text("")
    assert find_driver("chromedriver", Path("/opt/chromium"), "153.0.8010.0") == (None, packaged)
