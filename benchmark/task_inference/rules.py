"""The names of the rules that guess the task of an image. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmark.declaration import list_items
from methods.errors import UserError
from methods.names import did_you_mean

_SURENESS: Mapping[str, str] = {
    "max-softmax": "the task whose own network gives the largest probability",
    "entropy": "the task whose own network gives probabilities of the smallest entropy",
    "energy": "the task whose own network gives the largest log-sum-exp of logits",
}
_FEATURE: Mapping[str, str] = {
    "centres": "the task of the nearest k-means centre of frozen features",
    "gmm": "the task whose Gaussian mixture on frozen features is densest",
    "mahalanobis": "the task of the nearest class mean of frozen features, by Mahalanobis' distance",
}

#: Every rule, and the task that it guesses.
RULES: Mapping[str, str] = {**_SURENESS, **_FEATURE}
#: The rules that ask the network of each task how sure it is, and keep nothing.
SURENESS_NAMES = tuple(_SURENESS)
#: The rules on features of the backbone as given. They keep something of each task.
FEATURE_NAMES = tuple(_FEATURE)
#: The rule of a method that needs one when the user names none: the best on validation images, see docs/scenarios.md.
DEFAULT_RULE = "mahalanobis"

# Stands for every rule.
_ALL = "all"


def parse_rules(asked: str | Iterable[str]) -> tuple[str, ...]:
    """`max-softmax,centres`, or a list -> the rules; `all` stands for every rule, the default one first.

    Raises:
        UserError: a rule does not exist, or is given twice.
    """
    rules: list[str] = []
    for item in map(str, list_items(asked)):
        rules += sorted(RULES, key=lambda rule: rule != DEFAULT_RULE) if item == _ALL else [item]
    for number, rule in enumerate(rules):
        if rule not in RULES:
            hint = did_you_mean(rule, RULES)
            raise UserError(f"--infer: unknown rule '{rule}': {hint}known are {', '.join(RULES)}, or {_ALL}")
        if rule in rules[:number]:
            raise UserError(f"--infer gives '{rule}' twice; give each rule once")
    return tuple(rules)
