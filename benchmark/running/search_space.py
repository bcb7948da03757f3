"""What `tune` tries: the options of a method, and combinations of their values."""

from __future__ import annotations

import typing
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from methods.configured import ConfiguredMethod
from methods.errors import UserError
from methods.options import option_types
from methods.recipe import Range, Recipe

#: The most trials after the defaults whose values are chosen before the search. Only later ones learn from results.
_SPREAD = 10
#: Of so many random plans, the one whose trials are farthest apart is taken.
_PLANS = 200

Space = dict[str, BaseDistribution]


def search_space(method: ConfiguredMethod) -> Space:
    """Return option -> values to try, for each option in the method's `search` that its specification does not set.

    Raises:
        UserError: `search` has an option that the method does not have.
    """
    annotations = (option_types(Recipe) if method.cls.learns_in_steps else {}) | option_types(method.cls)
    given = method.spec.options
    unknown = [option for option in method.search if option not in annotations]
    if unknown:
        raise UserError(f"method '{method.cls.name}' searches the option '{unknown[0]}', which it does not have")
    return {
        option: _distribution(values, annotations[option])
        for option, values in method.search.items()
        if option not in given
    }


def _distribution(values: Range | tuple[Any, ...], annotation: Any) -> BaseDistribution:
    if not isinstance(values, Range):
        return CategoricalDistribution([plain(value) for value in values])
    if int in (annotation, *typing.get_args(annotation)):
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def plain(value: Any) -> Any:
    """Return a value for storage: numbers with four significant digits, types that JSON lacks as text."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def new_study(space: Space, trials: int, seed: int) -> optuna.Study:
    """Return a study that asks for `spread` values first, and then for those of Optuna's sampler (TPE).

    Args:
        trials: how many it will be asked for.
        seed: of all choices.
    """
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for params in spread(space, min(trials, _SPREAD), seed):
        study.enqueue_trial(params)
    return study


def spread(space: Space, trials: int, seed: int) -> list[dict[str, Any]]:
    """Return values that cover a space evenly: a Latin hypercube (McKay et al., 1979).

    Each range is cut into as many equal parts as there are trials, and each trial has the middle of another part. So
    one option alone gets a grid, and each of several options still gets as many values as there are trials. The values
    of a list come equally often, up to one.

    Args:
        space: option -> values.
        seed: decides which values of the options come together.
    """
    if trials == 0:
        return []
    random = np.random.default_rng(seed)
    middles = (np.arange(trials) + 0.5) / trials
    plans = [np.stack([random.permutation(middles) for _ in space], axis=1) for _ in range(_PLANS)]
    return [
        {option: _value(distribution, share) for (option, distribution), share in zip(space.items(), row, strict=True)}
        for row in max(plans, key=_apart).tolist()
    ]


def _apart(plan: NDArray[np.float64]) -> float:
    """Return the smallest distance between two rows."""
    distances = np.linalg.norm(plan[:, None] - plan, axis=2)
    return float(np.min(distances + np.diag(np.full(len(plan), np.inf))))


def _value(distribution: BaseDistribution, share: float) -> Any:
    """Return the value at a share, from 0 to 1, of the way through a space."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** share if distribution.log else low + (high - low) * share
    return round(value) if isinstance(distribution, IntDistribution) else value
