"""Rules that keep nothing: the guess is the task whose own network is surest of its answer.

Each rule takes the logits z that the network of one task gives, float [N, classes of the task], and returns how sure
that network is of each image, float32 [N]: larger is surer. A network that gives no numbers is never the surest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from methods.devices import double


def max_softmax(logits: Tensor) -> Tensor:
    """log max_c p_c, the logarithm of the largest probability (Hendrycks and Gimpel, 2017, arXiv 1610.02136).

    The probability itself is rounded to 1 for all images of which a network is very sure. Its logarithm has the same
    order and still tells them apart.
    """
    logits = double(logits)
    shifted = logits - logits.amax(1, keepdim=True)
    largest = shifted.argmax(1, keepdim=True)
    others = shifted.exp().scatter(1, largest, 0.0).sum(1)
    return _usable(-others.log1p())


def negative_entropy(logits: Tensor) -> Tensor:
    """sum_c p_c log p_c, the entropy of the probabilities in nats, with a minus sign."""
    log_probabilities = double(logits).log_softmax(1)
    probabilities = log_probabilities.exp()
    # A probability of 0 adds 0, though its logarithm is infinite.
    return _usable(torch.where(probabilities == 0, 0.0, probabilities * log_probabilities).sum(1))


def negative_energy(logits: Tensor) -> Tensor:
    """log sum_c exp(z_c), the energy with a minus sign (Liu et al., 2020, arXiv 2010.03759)."""
    return _usable(double(logits).logsumexp(1))


def _usable(sureness: Tensor) -> Tensor:
    return sureness.float().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


SURENESS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "max-softmax": max_softmax,
    "entropy": negative_entropy,
    "energy": negative_energy,
}
