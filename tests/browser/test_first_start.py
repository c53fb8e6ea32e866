"""Firefox starts with what `webinfer prepare` kept of its first start, and takes it for its own."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.first_start import prepare_firefox
from browser_runtime.launching.startup_cache import (
    BUILD,
    PROFILE,
    SCRIPTS,
    cache_folder,
    keep_startup_cache,
    make_profile,
)
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings

pytestmark = pytest.mark.browser("firefox")


async def has_scripts(settings: RuntimeSettings) -> bool:
    """Whether a session that has just started reads compiled scripts; Firefox renames those that it reads."""
    pool = Pool(settings, Browser.FIREFOX)
    await pool.open()
    try:
        folder = pool.sessions[0].host._folder
        assert folder is not None
        return any((folder / PROFILE / SCRIPTS).glob("scriptCache-current*"))
    finally:
        await pool.close()


async def test_a_session_takes_up_what_was_kept(settings: RuntimeSettings, tmp_path: Path) -> None:
    """Firefox throws away what is of another build before it opens a page."""
    own = settings.model_copy(update={"cache_dir": tmp_path / "cache"})
    assert not await has_scripts(own)
    folder = await prepare_firefox(own)
    made = folder.stat().st_mtime_ns
    assert await prepare_firefox(own) == folder
    assert folder.stat().st_mtime_ns == made, "what is there is not made again"
    assert await has_scripts(own)
    about = folder / BUILD
    newer = re.sub(r"LastVersion=\d+", "LastVersion=999", about.read_text())
    about.write_text(newer)
    assert not await has_scripts(own)


def test_each_build_has_its_own(settings: RuntimeSettings, tmp_path: Path) -> None:
    installation = find_installation(Browser.FIREFOX, settings)
    binary = tmp_path / "firefox"
    binary.write_text("#!/bin/sh\n")
    copied = replace(installation, binary=binary)
    folders = {cache_folder(installation, tmp_path), cache_folder(copied, tmp_path)}
    os.utime(binary, (0, 0))
    folders |= {cache_folder(copied, tmp_path), cache_folder(replace(copied, version="1.0"), tmp_path)}
    assert len(folders) == 4
    assert list(make_profile(tmp_path, installation, tmp_path / "none").iterdir()) == []


def test_no_link_in_another_users_profile_is_followed(settings: RuntimeSettings, tmp_path: Path) -> None:
    installation = find_installation(Browser.FIREFOX, settings)
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    session, cache = tmp_path / "session", tmp_path / "cache"
    (session / PROFILE / SCRIPTS).mkdir(parents=True)
    (session / PROFILE / BUILD).write_text("")
    (session / PROFILE / SCRIPTS / "scriptCache.bin").symlink_to(secret)
    with pytest.raises(SetupError, match="what Firefox compiles at its first start"):
        keep_startup_cache(session, installation, cache)
    (session / PROFILE).rename(tmp_path / "elsewhere")
    (session / PROFILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="what Firefox compiles at its first start"):
        keep_startup_cache(session, installation, cache)
    assert not cache_folder(installation, cache).exists()


def test_a_kept_cache_that_cannot_be_read_is_no_reason_not_to_start(
    settings: RuntimeSettings, tmp_path: Path
) -> None:
    installation = find_installation(Browser.FIREFOX, settings)
    kept = cache_folder(installation, tmp_path)
    kept.mkdir()
    (kept / "gone").symlink_to(tmp_path / "nothing")
    assert list(make_profile(tmp_path, installation, tmp_path).iterdir()) == []
