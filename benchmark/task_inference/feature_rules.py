"""The rules on frozen features, by name."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.task_inference.base import FeatureRule
from benchmark.task_inference.centres import Centres
from benchmark.task_inference.gmm import GaussianMixtures
from benchmark.task_inference.mahalanobis import Mahalanobis

FEATURE_RULES: Mapping[str, FeatureRule] = {rule.name: rule for rule in (Centres(), GaussianMixtures(), Mahalanobis())}
