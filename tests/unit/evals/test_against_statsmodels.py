"""The tests agree with those of statsmodels, which takes seconds to import."""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.paired import clustered_t, grouping, holm, standard_error

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("default")
def test_clustered_t_and_holm_agree_with_statsmodels() -> None:
    from statsmodels.regression.linear_model import (  # type: ignore[import-untyped]  # noqa: PLC0415
        OLS,
    )
    from statsmodels.stats.multitest import (  # type: ignore[import-untyped]  # noqa: PLC0415
        multipletests,
    )

    random = np.random.default_rng(4)
    numbers = random.integers(0, 17, 80)
    differences = random.integers(-3, 3, 80) / 3 + random.normal(0, 0.4, 17)[numbers]
    fit = OLS(differences, np.ones(80)).fit(
        cov_type="cluster", cov_kwds={"groups": numbers}, use_t=True
    )
    groups = grouping([str(number) for number in numbers])
    assert float(standard_error(differences, groups)) == pytest.approx(float(fit.bse[0]))
    two_sided = float(clustered_t(differences, groups, two_sided=True))
    assert two_sided == pytest.approx(float(fit.pvalues[0]))
    below = float(clustered_t(differences, groups))
    assert below == pytest.approx(two_sided / 2 if differences.mean() < 0 else 1 - two_sided / 2)

    p_values = [float(p) for p in random.random(9) ** 3]
    assert holm(p_values) == pytest.approx(tuple(multipletests(p_values, method="holm")[1]))
