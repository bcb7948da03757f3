"""The diagonal of the Fisher information, from per-sample gradients."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from baselines.shared.vectors import vector_of
from methods import Step

#: The labels of the expectation: "exact": all classes, weighted by the model's probabilities; "sampled": one label per
#: image, drawn from the model; "empirical": the given labels; "weighted": the given labels, each weighted by the
#: model's probability of it, which is its part of "exact".
FisherKind = Literal["exact", "sampled", "empirical", "weighted"]

# Per-sample gradients held at once, in float32 values: 256 MiB.
_MOST_VALUES = 2**26


def shared_vector(step: Step) -> Tensor:
    """theta [P]: the trained parameters that all tasks share, heads left out. A copy, without a history."""
    return vector_of(step.shared_parameters().values()).detach()


def task_fisher(step: Step, kind: FisherKind, samples: int, generator: torch.Generator) -> Tensor:
    """The Fisher diagonal [P] of `shared_vector` on the task just learned, on at most `samples` of its images."""
    data = step.task_data
    chosen = torch.randperm(len(data), generator=generator)[:samples]
    images, labels = (part[chosen].to(step.device) for part in (data.images, data.labels))
    first = step.model.heads.closed
    return fisher_diagonal(step.model, step.shared_parameters(), images, labels, kind, generator, first)


def fisher_diagonal(
    network: nn.Module,
    parameters: dict[str, nn.Parameter],
    images: Tensor,
    labels: Tensor,
    kind: FisherKind,
    generator: torch.Generator,
    first: int = 0,
) -> Tensor:
    """F_i = 1/N sum_n E_y[(d log p(y | x_n) / d theta_i)^2], batch normalisation in evaluation mode.

    Each sample's gradient is squared, because the square of a batch's mean gradient would shrink with the batch size.

    Args:
        network: images -> logits; its mode is restored.
        parameters: name in `network` -> parameter theta, in the order of the result.
        images, labels: N samples; the labels are used by "empirical" and "weighted" only.
        kind: the expectation over y.
        generator: draws the labels of "sampled", on the CPU.
        first: the first class that the network answers with; the probability of those before it is 0.

    Returns:
        [sum of the parameters' sizes], laid out as `vector_of` does.
    """

    def log_likelihood(theta: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return -nn.functional.cross_entropy(functional_call(network, theta, (image[None],)), label[None])

    # vmap takes torch's faster ways of computing attention apart, and calls them for one image after the other.
    scores = sdpa_kernel(SDPBackend.MATH)(vmap(grad(log_likelihood), in_dims=(None, 0, 0)))
    theta = {name: parameter.detach() for name, parameter in parameters.items()}
    total = {name: torch.zeros_like(value) for name, value in theta.items()}
    chunk = max(1, min(32, _MOST_VALUES // sum(value.numel() for value in theta.values())))
    if images.is_meta:
        chunk = len(images)  # tensors without data take no memory; their operations are counted all the same

    training = network.training
    network.eval()
    for x, y in zip(images.split(chunk), labels.split(chunk), strict=True):
        with torch.no_grad():
            probabilities = network(x).softmax(1)
        classes = probabilities.shape[1]
        if kind == "exact":
            pairs = [(torch.full_like(y, c), probabilities[:, c]) for c in range(first, classes)]
        elif kind == "sampled":
            drawn = _draw(probabilities, generator).clamp(min=first)
            pairs = [(drawn, torch.ones_like(probabilities[:, 0]))]
        elif kind == "weighted":
            pairs = [(y, probabilities.gather(1, y[:, None])[:, 0])]
        else:
            pairs = [(y, torch.ones_like(probabilities[:, 0]))]
        for label, weight in pairs:
            for name, score in scores(theta, x, label).items():
                total[name] += torch.einsum("n,n...->...", weight, score.square())
    network.train(training)
    return vector_of(total.values()) / len(images)


def _draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One class per row, by inverting the cumulative distribution at a uniform draw made on the CPU."""
    uniform = torch.rand(len(probabilities), 1, generator=generator).to(probabilities)
    below = (probabilities.cumsum(1) < uniform).sum(1)
    return below.clamp(max=probabilities.shape[1] - 1)
