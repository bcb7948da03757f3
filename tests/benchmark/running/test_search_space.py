"""What `tune` tries: ranges around the defaults, and values that cover them evenly."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import combinations
from typing import Any

import pytest

from methods import methods
from methods.configured import configure
from methods.errors import UserError
from methods.options import option_defaults
from methods.recipe import Range

pytest.importorskip("optuna", reason='the tuner needs Optuna: pip install ".[tune]"')

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmark.running.search_space import new_study, plain, search_space, spread


def default_of(name: str, option: str) -> Any:
    method = configure(name)
    return (option_defaults(method.cls) | asdict(method.recipe))[option]


def constructible() -> list[str]:
    """The methods whose specification needs no more than the name."""
    names = []
    for name in methods.names():
        try:
            configure(name)
        except UserError:
            continue
        names.append(name)
    return names


@pytest.mark.parametrize("name", constructible())
def test_every_method_searches_well_around_its_defaults(name):
    """From a third of the default to three times as much; of a list of numbers, also a smaller and a larger one."""
    search = configure(name).search
    assert set(search) <= set(search_space(configure(name)))
    for option, values in search.items():
        default = default_of(name, option)
        if isinstance(values, Range):
            assert values.log, option
            assert values.low <= 0.34 * default < 3 * default <= values.high, option
        elif isinstance(default, str):
            assert default in values, option
        else:
            assert min(values) < default < max(values), option


@pytest.mark.parametrize("name", [name for name in constructible() if configure(name).cls.learns_in_steps])
def test_every_method_that_makes_steps_searches_its_learning_rate(name):
    assert "lr" in search_space(configure(name))


def test_the_bounds_search_what_plain_fine_tuning_does():
    for optimizer, low, high in (("sgd", 1e-3, 0.3), ("adam", 1e-4, 0.03)):
        names = [f"{name}:optimizer={optimizer}" for name in ("single-task", "joint", "sgd")]
        assert [search_space(configure(name)) for name in names] == 3 * [{"lr": FloatDistribution(low, high, log=True)}]


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        ("single-task:optimizer=sgd", 1e-3, 0.3),
        ("single-task:optimizer=adam", 1e-4, 0.03),
        ("single-task:optimizer=rmsprop", 1e-4, 0.03),
        ("clr", 1e-3, 0.1),
        ("clr:optimizer=adamw", 1e-3, 0.1),
        ("clr:optimizer=sgd", 1e-2, 1.0),
    ],
)
def test_another_optimizer_gets_its_own_range_of_learning_rates(spec, low, high):
    rates = search_space(configure(spec))["lr"]
    assert (rates.low, rates.high) == (pytest.approx(low), pytest.approx(high))


def test_one_option_alone_gets_a_grid():
    """The middles of four quarters of three decades, each 10^0.75 times the one before."""
    tried = spread({"lr": FloatDistribution(1e-3, 1.0, log=True)}, 4, seed=100)
    assert sorted(params["lr"] for params in tried) == pytest.approx(
        [10**power for power in (-2.625, -1.875, -1.125, -0.375)]
    )
    linear = spread({"share": FloatDistribution(0.0, 1.0)}, 5, seed=100)
    assert sorted(params["share"] for params in linear) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


SPACE = {
    "lr": FloatDistribution(1e-3, 1.0, log=True),
    "share": FloatDistribution(0.0, 1.0),
    "rank": IntDistribution(1, 64, log=True),
    "form": CategoricalDistribution(("a", "b", None)),
}


@pytest.mark.parametrize("seed", [0, 100, 101])
def test_each_option_has_as_many_values_as_there_are_trials(seed):
    tried = spread(SPACE, 7, seed)
    powers = sorted(math.log10(params["lr"]) for params in tried)
    assert powers == pytest.approx([3 * (part + 0.5) / 7 - 3 for part in range(7)])
    assert sorted(params["share"] for params in tried) == pytest.approx([(part + 0.5) / 7 for part in range(7)])
    assert sorted(params["rank"] for params in tried) == [round(64 ** ((part + 0.5) / 7)) for part in range(7)]
    assert sorted(str(params["form"]) for params in tried) == ["None", "None", "a", "a", "b", "b", "b"]
    assert {type(params["rank"]) for params in tried} == {int}


def test_the_trials_of_two_options_are_apart():
    """Of seven trials no two are closer than a quarter of the square's side; in a bad plan they are 0.2 apart."""
    space = {"a": FloatDistribution(0.0, 1.0), "b": FloatDistribution(0.0, 1.0)}
    for seed in (0, 100, 101):
        points = [(params["a"], params["b"]) for params in spread(space, 7, seed)]
        assert min(math.dist(one, other) for one, other in combinations(points, 2)) > 0.25


def test_no_trials_beside_the_defaults():
    assert spread(SPACE, 0, seed=100) == []
    assert len(spread(SPACE, 1, seed=100)) == 1


def test_a_study_asks_for_the_spread_values_first_and_then_goes_on():
    """The same seed asks for the same; after ten trials, the sampler learns from the results."""

    def asked(trials: int) -> list[dict[str, Any]]:
        study, tried = new_study(SPACE, trials, seed=100), []
        for _ in range(trials):
            trial = study.ask(SPACE)
            tried.append(trial.params)
            study.tell(trial, trial.params["share"])
        return tried

    assert asked(7) == spread(SPACE, 7, seed=100)
    assert asked(13)[:10] == spread(SPACE, 10, seed=100)
    assert asked(13) == asked(13)


def test_plain_values():
    assert [plain(value) for value in (0.123456, 1e-7, 3, True, None, "a")] == [0.1235, 1e-7, 3, True, None, "a"]
