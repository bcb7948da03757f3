"""The nearest class mean."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from baselines.shared.finetuning import ALL_SCENARIOS
from baselines.shared.frozen_features import FrozenFeatures, members
from methods import Step, methods
from methods.devices import double

_SUMS = "sums"


@methods.register("ncm")
class NCM(FrozenFeatures):
    """Nearest class mean of frozen features, by cosine: SimpleCIL (Zhou et al., 2023, arXiv 2303.07338).

    The answer is the class whose mean feature vector c_y has the largest cosine with the image's feature vector f. The
    head's row of a class is c_y / |c_y|, without a bias, so that a logit is |f| cos(f, c_y): the same order for each
    image, but no cosine. Each image is seen once, and no gradient step is made. Where classes come again in each
    domain, the sum of each class's features is kept, and the mean is that of the images of all domains so far.

    Differs from the paper:
        scenarios: there, the classes of all tasks compete (`--scenario class`). This also answers where the task is
            known, among the classes of that task, and where classes come again in each domain.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    isolates_tasks = True

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        heads = step.model.heads
        weight, _ = heads.take(step.model.head_key).values()
        sums = double(torch.zeros_like(weight))
        images = torch.zeros_like(sums[:, 0])
        for features, labels in step.task_features():
            own = members(step, labels)
            sums += own.T @ double(features)
            images += own.sum(0)
        if self.scenario == "domain":
            if _SUMS in self.kept:
                sums += double(self.kept[_SUMS])
            self.kept[_SUMS] = sums.to(weight)
        # Classes of earlier tasks have no images here, and stay as they are.
        heads.assign(torch.where(images[:, None] > 0, normalize(sums), double(weight)), torch.zeros_like(images))
