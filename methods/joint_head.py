"""One linear classifier whose answer is one of the classes of all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from methods.heads import Classifier, logits_of, named, new_units
from methods.scenarios import Logits

#: The key of the only head.
SHARED = "shared"


class JointHead(Classifier):
    """One head whose answer is one of the classes of all tasks so far, side by side in the order of learning.

    Or one of the classes that all tasks have. Labels are columns of the logits. Weights and biases are one parameter,
    and new classes are added at its end, so that parameters laid out as a vector only become longer.

    Args:
        features: D.

    Attributes:
        weights: [units, D + 1]; the last column has the biases.
        tasks: the columns of each task up to the one that is learned.
    """

    def __init__(self, features: int):
        super().__init__()
        self.weights = nn.Parameter(torch.empty(0, features + 1, device="cpu"))
        self.rows: dict[str, slice] = {}
        self.register_buffer("layout", torch.empty(0, 0, dtype=torch.int64), persistent=False)

    @property
    def units(self) -> int:
        return len(self.weights)

    @property
    def widest(self) -> int:
        return self.units

    @property
    def widths(self) -> Tensor:
        return torch.tensor(self._seen, device=self.layout.device)

    def add(self, key: str, classes: int) -> None:
        new = new_units(self.weights.shape[1] - 1, classes)
        rows = torch.cat([new.weight.detach(), new.bias.detach()[:, None]], 1)
        self.weights = nn.Parameter(torch.cat([self.weights.detach(), rows.to(self.weights)]))
        self.rows = {SHARED: slice(0, self.units)}

    def clear(self) -> None:
        self.rows = {}
        self.weights = nn.Parameter(self.weights.detach()[:0])

    def shorten(self, units: int) -> None:
        """Keep only the first units, as the head was before the others were added."""
        self.weights = nn.Parameter(self.weights.detach()[:units].clone())
        self.rows = {SHARED: slice(0, units)}

    def begin(self, tasks: Sequence[range], logits: Logits) -> None:
        """Prepare the training of the last of these tasks.

        Args:
            tasks: the columns of each task up to the one that is learned.
            logits: which logits take part in the loss of its images.
        """
        *earlier, new = tasks
        self.tasks = tuple(tasks)
        before = max((columns.stop for columns in earlier), default=0)
        groups = [torch.arange(before, device="cpu"), torch.arange(new.start, new.stop, device="cpu")]
        padded = nn.utils.rnn.pad_sequence(groups, batch_first=True, padding_value=self.units)
        self.layout = padded.to(self.weights.device)
        self.closed = new.start if logits == "current" else 0
        self._seen = [self.units if logits == "all" else columns.stop for columns in tasks]

    def forward(self, features: Tensor, key: str) -> Tensor:
        logits = self.flat(features)
        return logits.masked_fill(self._closed(), float("-inf")) if self.closed else logits

    def flat(self, features: Tensor) -> Tensor:
        return logits_of(features, self.weights[:, :-1], self.weights[:, -1])

    def whole(self, features: Tensor, key: str) -> Tensor:
        return self.flat(features)

    def own(self, features: Tensor, tasks: Tensor) -> Tensor:
        logits = self.flat(features)
        if not self.closed:
            return logits
        new = tasks == len(self._seen)
        return logits.masked_fill(new[:, None] & self._closed(), float("-inf"))

    def columns(self, labels: Tensor, tasks: Tensor) -> Tensor:
        return labels

    def among_all(self, features: Tensor, columns: Tensor) -> Tensor:
        return self.flat(features)

    def take(self, key: str) -> dict[str, Tensor]:
        return named(key, self.weights[:, :-1], self.weights[:, -1])

    @torch.no_grad()
    def place(self, tensors: Mapping[str, Tensor]) -> None:
        for name, live in self.take(SHARED).items():
            if name in tensors:
                # These may be the values before new classes or features were added, or have more classes than are
                # asked for.
                value = tensors[name][: self.units]
                live[tuple(map(slice, value.shape))].copy_(value)

    @torch.no_grad()
    def assign(self, weight: Tensor, bias: Tensor) -> None:
        self.weights[:, :-1].copy_(weight)
        self.weights[:, -1].copy_(bias)

    def _closed(self) -> Tensor:
        """Which columns take no part in an answer [units]."""
        return torch.arange(self.units, device=self.weights.device) < self.closed
