"""Print a hash of everything the observing kernels answer on a small market: run compiled and as plain Python."""

from __future__ import annotations

import numpy as np

from apps.engine.features import (
    N_FEATURES,
    context_nb,
    features_bar_nb,
    features_sample_nb,
    features_state,
    horizon_return_nb,
    realized_vol_nb,
    sigma_previous_nb,
)
from apps.engine.policies import arms
from apps.engine.policies.driver import policy_batch
from apps.engine.regime import regime_age_nb, regime_grid_nb, regime_state
from tests.engine.series import digest, market

N, H = 600, 5


def observed() -> str:
    """Signals, contexts, regimes and final states of 600 bars."""
    columns = market(N, seed=8)
    arrays = []
    for policy in arms():
        params, state = policy.init(policy.defaults())
        out = np.zeros(N)
        policy_batch(policy, params, state, columns, out)
        arrays += [out, state]
    f, i = features_state(H)
    g, j = regime_state(H)
    x, contexts = np.zeros(N_FEATURES), []
    for t in range(N):
        features_bar_nb(f, i, *(column[t] for column in columns))
        if t % H == 0:
            regime_grid_nb(g, j, realized_vol_nb(f, i), horizon_return_nb(f, i), sigma_previous_nb(f), 1)
            context_nb(f, i, regime_age_nb(g, j), x)
            features_sample_nb(f, i)
            contexts.append(x.copy())
    assert np.all(np.isfinite(contexts[-1])) and j[5] > 0
    return digest(*arrays, np.array(contexts), f, i, g, j)


if __name__ == "__main__":
    print(observed())
