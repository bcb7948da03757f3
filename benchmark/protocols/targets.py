"""The published numbers of a protocol, from its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

from benchmark.protocols.tables import Number, Place, check_table
from benchmark.results.columns import AccuracyMetric
from benchmark.results.reproduction import is_fraction, reproducible_metrics
from benchmark.running.config_file import shown_value
from benchmark.storage.published import SpreadKind, Target
from methods.names import did_you_mean

_SPREADS: tuple[str, ...] = get_args(SpreadKind)

#: What `[defaults]` may give for all targets.
_DEFAULTS = {"answer": str, "metric": str, "repetitions": int, "tolerance": float, "definition": str}
_TARGET = {"method": str, "value": float, "below": float, **dict.fromkeys(_SPREADS, float), **_DEFAULTS}


def read_targets(
    entries: Sequence[Any],
    defaults: Mapping[str, Any],
    methods: Mapping[str, str],
    answers: Sequence[str],
    place: Place,
) -> tuple[Target, ...]:
    """The targets of a part.

    Args:
        entries: its list `targets`.
        defaults: its table `defaults`.
        methods: name of a row -> specification.
        answers: the names of the answers that the run gives; the first is meant where a target names none.
        place: the part, for messages.

    Raises:
        UserError: there are none, or one cannot be used.
    """
    check_table(defaults, _DEFAULTS, place.inside("defaults"))
    if not entries:
        raise place.refuse('has no targets; write for example targets = [{method = "er", value = 78.5, sd = 1.3}]')
    targets: list[Target] = []
    places: dict[tuple[str, ...], int] = {}
    for number, entry in enumerate(entries, 1):
        inside = place.inside(f"targets {number}")
        if not isinstance(entry, dict):
            raise inside.refuse(f'{shown_value(entry)} must be a table, as {{method = "er", value = 78.5}}')
        check_table(entry, _TARGET, inside, ("method",))
        target = _target({"answer": answers[0], **defaults, **entry}, methods, answers, inside)
        before = places.setdefault((target.row, target.metric, target.answer, target.definition), number)
        if before != number:
            raise inside.refuse(
                f"it is about the same number as target {before}; leave one out, or say in `definition` how they differ"
            )
        targets.append(target)
    return tuple(targets)


def _target(entry: dict[str, Any], methods: Mapping[str, str], answers: Sequence[str], place: Place) -> Target:
    row, metric, answer = entry["method"], entry.get("metric", "average_accuracy"), entry["answer"]
    _one_of(row, list(methods), "method", place)
    _one_of(metric, list(reproducible_metrics()), "metric", place)
    _one_of(answer, answers, "answer", place)
    if ("value" in entry) == ("below" in entry):
        raise place.refuse("give one of value, the published number, and below, which it claims to stay under")
    key = "below" if "below" in entry else "value"
    spreads = [kind for kind in _SPREADS if kind in entry]
    rules = [name for name in (*spreads, "below", "tolerance") if name in entry]
    if len(rules) > 1:
        raise place.refuse(f"{' and '.join(rules)} exclude each other; give one of them")
    for name in (*spreads, "tolerance"):
        if entry.get(name, 0) < 0:
            raise place.refuse(f"{name} = {shown_value(entry[name])} must not be negative")
    if entry.get("repetitions", 1) < 1:
        raise place.refuse(f"repetitions = {entry['repetitions']} must be at least 1")
    if spreads and entry.get("repetitions") == 1:
        raise place.refuse(f"{spreads[0]} is a spread, which 1 repetition does not have; give their number")
    number = entry[key]
    return Target(
        row=row,
        method=methods[row],
        answer=answer if isinstance(reproducible_metrics()[metric], AccuracyMetric) else "",
        metric=metric,
        value=_in_unit_of(metric, number),
        digits=number.digits if isinstance(number, Number) else 0,
        bound=key == "below",
        spread=_in_unit_of(metric, entry[spreads[0]]) if spreads else None,
        spread_is=spreads[0] if spreads else None,  # type: ignore[arg-type]
        repetitions=entry.get("repetitions"),
        tolerance=_in_unit_of(metric, entry["tolerance"]) if "tolerance" in entry else None,
        definition=entry.get("definition", ""),
    )


def _in_unit_of(metric: str, number: float) -> float:
    """A number of the file, which has per cent as articles print them, in the unit of the column: often a fraction."""
    # In decimals, because a division of floats would change the last digit.
    return float(Decimal(repr(float(number))).scaleb(-2)) if is_fraction(metric) else float(number)


def _one_of(word: str, known: Sequence[str], key: str, place: Place) -> None:
    if word not in known:
        raise place.refuse(
            f"{key} = {shown_value(word)} is unknown: {did_you_mean(word, known)}known are {', '.join(known)}"
        )
