"""The browsers in which long comparisons on WebGPU run."""

from __future__ import annotations

import pytest

from browser_runtime.contract.vocabulary import Browser

# Chrome's engine is Edge's too, and on a software adapter it takes up to a minute for one model. They come
# first in `Browser`, so pytest runs all tests of a module in one browser before it opens the next.
ONE_OF_EACH = pytest.mark.parametrize("shared_pool", [Browser.FIREFOX, Browser.CHROME], indirect=True)
