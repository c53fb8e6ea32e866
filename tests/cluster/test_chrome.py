"""The whole way with a real browser: Redis, worker, Chrome, page, and back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from browser_runtime.contract.errors import UnknownModel
from browser_runtime.contract.vocabulary import Browser
from tasks import app, echo, infer
from tests.cluster.conftest import Worker, until, workers
from tests.conftest import require_browser
from tests.processes import is_alive

CHROME = "chrome-vision"


@pytest.fixture(scope="module")
def chrome(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that owns one Chrome."""
    require_browser(Browser.CHROME)
    app.control.purge()
    with workers(tmp_path_factory.mktemp("chrome"), "tasks") as start:
        yield start().ready()


def digit(**more: Any) -> Any:
    shape = {"image": {"width": 28, "height": 28}}
    return infer.delay(model_type="vision", model_name="digits-vit", inputs=shape, **more).get(timeout=120)


def test_an_image_is_classified_in_the_browser(chrome: Worker) -> None:
    reply = digit()
    assert reply["success"] and reply["browser"] == "chrome" and "Chrom" in reply["browser_build"]
    assert reply["synthetic_input"] and not reply["is_simulation"]
    assert reply["output"]["logits"].shape == (10,)
    assert reply["routing"]["queue"] == CHROME
    again = digit()
    np.testing.assert_allclose(again["output"]["logits"], reply["output"]["logits"], rtol=1e-5)
    assert again["timings"]["load_ms"] == 0


def test_a_large_tensor_goes_to_the_page_and_back(chrome: Worker) -> None:
    tensor = np.random.default_rng(0).random((512, 512), np.float32)
    np.testing.assert_array_equal(echo.delay(tensor).get(timeout=60), tensor)


def test_the_stores_errors_reach_the_producer(chrome: Worker) -> None:
    with pytest.raises(UnknownModel, match="no-such-model"):
        infer.delay(model_type="vision", model_name="no-such-model", inputs=np.zeros((8, 8))).get(timeout=60)
    assert digit()["success"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_no_browser_outlives_its_worker(settings: Any, tmp_path: Any, how: signal.Signals) -> None:
    require_browser(Browser.CHROME)
    with workers(tmp_path, "tasks") as start:
        worker = start().ready()
        family = psutil.Process(worker.process.pid).children(recursive=True)
        assert family
        worker.stop(how)
        until(lambda: not any(is_alive(process) for process in family))
