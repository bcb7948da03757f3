"""The script that tries given options."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import pytest

from benchmark.config import Settings

pytest.importorskip("optuna", reason='the script uses the tuner, which needs Optuna: pip install ".[tune]"')


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # The script sets it.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return load_script("try_options")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("nope", "unknown method 'nope'"),
        ("sgd ewc:strength=-1", "'ewc:strength=-1': strength=-1 must not be negative"),
        ("sgd sgd", "'sgd' twice"),
        ("sgd --tasks 0", "--tasks 0 must be at least 1"),
        ("sgd --backbone nope", "nope"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence_before_anything_is_learned(
    script: ModuleType, words: str, says: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "try_all", lambda settings: pytest.fail("nothing is learned"))
    assert script.main(words.split()) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_it_tells_what_is_learned_and_that_a_training_diverged(script: ModuleType) -> None:
    settings = Settings(methods=("sgd",), tasks=1, train_images=20, epochs=1, device="cpu")
    assert all(0 <= share <= 1 for share in script.try_once(settings, 100))
    diverging = Settings(methods=("sgd:lr=1e30:clip=0",), tasks=1, train_images=200, epochs=2, device="cpu")
    assert all(map(math.isnan, script.try_once(diverging, 100)))


def test_a_line_is_the_mean_over_the_seeds(
    script: ModuleType, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Now:
        """A pool that does everything at once, in this process."""

        def __init__(self, **options: object) -> None:
            pass

        def __enter__(self) -> Now:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def submit(self, function: object, settings: Settings, seed: int) -> Now:
            assert settings.methods == ("sgd",)
            done = Now()
            done.result = lambda: {100: (0.25, 0.5), 101: (0.75, 1.0)}[seed]
            return done

    monkeypatch.setattr(script, "ProcessPoolExecutor", Now)
    assert script.main(["sgd"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| `sgd` | 50.0 | 75.0 |"
