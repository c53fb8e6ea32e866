"""A repository of the Hugging Face Hub as the Hub describes it, nothing of it believed unseen."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog

from browser_runtime.contract.errors import BadRequest, SetupError, UnknownModel
from browser_runtime.contract.setup.proxies import exempt_loopback
from browser_runtime.contract.setup.remedies import SOCKS
from browser_runtime.models.files.paths import OutsideError, check_path, shorten
from browser_runtime.models.hub.catalogue import HubModel
from browser_runtime.models.hub.downloading import HubFile
from browser_runtime.models.hub.settings import HubSettings

log = structlog.get_logger(__name__)

LICENSE_TAG = re.compile(r"license:([\w.+-]{1,100})")
# A commit names a folder here, so it must be one: Git's SHA-1, or its SHA-256.
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Repository:
    """A Hub repository at one commit."""

    commit: str
    files: dict[str, HubFile]
    license: str
    pipeline: str | None


def repository_address(model: HubModel, settings: HubSettings) -> str:
    """The address of the repository's page."""
    return f"{settings.endpoint.rstrip('/')}/{model.repository}"


def look_up(model: HubModel, settings: HubSettings, deadline: float) -> Repository:
    """The repository at its pinned commit, or at the commit its branch is at now.

    `deadline` is monotonic. Raises UnknownModel, SetupError, and BadRequest for an answer that is refused.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    if settings.offline:
        raise offline_refusal(model.name)
    exempt_loopback()  # where a mirror may be
    token = settings.token.get_secret_value() if settings.token else False
    api = HfApi(endpoint=settings.endpoint.rstrip("/"), token=token, library_name="webinfer")
    try:
        info = api.model_info(
            model.repository,
            revision=model.revision,
            files_metadata=True,
            timeout=min(settings.silence_timeout_s, max(deadline - time.monotonic(), 0.1)),
        )
    except OfflineModeIsEnabled as error:
        raise offline_refusal(model.name) from error
    except Exception as error:
        raise _translate(error, model, settings.endpoint) from error
    return _repository(info, model, repository_address(model, settings))


def offline_refusal(name: str) -> SetupError:
    """The error for a model that is not here while pulling is switched off."""
    return SetupError(
        f"model {name!r}",
        "HF_HUB_OFFLINE forbids fetching it: unset it, or bring the model in with `webinfer models import`",
    )


def _translate(error: Exception, model: HubModel, endpoint: str) -> Exception:
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return SetupError(
            f"model {model.name!r}", f"{model.repository} is gated: accept its terms and set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return UnknownModel(repr(model.name), f"{endpoint} has no repository {model.repository}")
    if isinstance(error, RevisionNotFoundError):
        return UnknownModel(repr(model.name), f"{model.repository} has no revision {model.revision}")
    if isinstance(error, (httpx2.HTTPError, httpx2.InvalidURL, HfHubHTTPError, OSError, ImportError)):
        return SetupError(f"model {model.name!r}", _explain_silence(error, endpoint))
    if isinstance(error, (ValueError, LookupError, TypeError, AttributeError)):
        return BadRequest(f"the answer of {endpoint} about {model.repository} cannot be read ({error!r})")
    return error


def _explain_silence(error: Exception, endpoint: str) -> str:
    """Why nothing came from there, and what helps."""
    import httpx2

    if isinstance(error, (httpx2.InvalidURL, ImportError)):
        # The endpoint's own address was checked, so this one is a proxy's.
        problem = f"SOCKS needs `{SOCKS}`" if "SOCKS" in str(error) else str(error)
        return f"the proxy that the environment names for {endpoint} cannot be used ({problem})"
    remedy = "check the network and HF_ENDPOINT, or bring the model in with `webinfer models import`"
    return f"the Hub at {endpoint} did not answer ({error}); {remedy}"


def _repository(info: Any, model: HubModel, address: str) -> Repository:
    """The Hub's description, as far as it is needed. Raises BadRequest if it names no commit to pin."""
    if not info.sha:
        raise BadRequest(f"the Hub names no commit for {model.repository}, so it cannot be pinned")
    if not COMMIT.fullmatch(str(info.sha)):
        raise BadRequest(f"the Hub names {shorten(info.sha)}, no commit, for {model.repository}")
    files = _list_files(info.siblings or (), f"{address}/resolve/{info.sha}", model.repository)
    words = [tag for tag in info.tags or () if isinstance(tag, str)]
    licenses = [found[1] for tag in words if (found := LICENSE_TAG.fullmatch(tag))]
    pipeline = info.pipeline_tag if isinstance(info.pipeline_tag, str) else None
    return Repository(info.sha, files, model.license or next(iter(licenses), "unknown"), pipeline)


def _list_files(siblings: Iterable[Any], base: str, repository: str) -> dict[str, HubFile]:
    """The files of a listing by path, but those whose names no store could hold.

    Raises BadRequest for a path that leaves the folder, or a size that is none: no honest Hub lists such.
    """
    files = {}
    for sibling in siblings:
        try:
            path = check_path(sibling.rfilename)
        except OutsideError as error:
            raise BadRequest(f"the Hub's list of {repository}'s files is refused: {error}") from error
        except ValueError as error:
            log.warning("repository file skipped", repository=repository, reason=str(error))
            continue
        size = sibling.lfs.size if sibling.lfs else sibling.size or 0
        if type(size) is not int or size < 0:
            raise BadRequest(f"the Hub's list of {repository}'s files is refused: {path} has size {size!r}")
        files[path] = HubFile(
            path=path,
            url=f"{base}/{quote(path)}",
            size_bytes=size,
            sha256=sibling.lfs.sha256 if sibling.lfs else None,
            git_hash=None if sibling.lfs else sibling.blob_id,
        )
    return files
