from __future__ import annotations

import gc

from project import loading


def test_garbage_is_collected_again_after_the_outermost_load() -> None:
    with loading.uncollected():
        with loading.uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
