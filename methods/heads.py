"""Linear classifiers side by side: a head per task, of exactly its class count."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

_PREFIX = "heads."
# The name of a task's only head in the task's file.
_OWN = "head."


class Heads(nn.Module):
    """Heads as the rows of one weight, so that one step serves all heads, however many there are.

    Args:
        features: D, the length of the backbone's feature vector.
    """

    layout: Tensor

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(0, features, device="cpu"))
        self.bias = nn.Parameter(torch.empty(0, device="cpu"))
        self.rows: dict[str, slice] = {}
        # [heads, widest]: the column of each unit among all logits; one past the last column if the head is narrower.
        self.register_buffer("layout", torch.empty(0, 0, dtype=torch.int64), persistent=False)

    def add(self, key: str, classes: int) -> None:
        """Add a head under `key`, initialised from torch's global random state."""
        # Made on the CPU, so that the initial values do not depend on the device.
        new = nn.Linear(self.weight.shape[1], classes, device="cpu")
        self.rows[key] = slice(len(self.bias), len(self.bias) + classes)
        self.weight = nn.Parameter(torch.cat([self.weight.detach(), new.weight.detach().to(self.weight)]))
        self.bias = nn.Parameter(torch.cat([self.bias.detach(), new.bias.detach().to(self.bias)]))
        columns = torch.arange(len(self.bias), device="cpu")
        layout = [columns[rows] for rows in self.rows.values()]
        padded = nn.utils.rnn.pad_sequence(layout, batch_first=True, padding_value=len(columns))
        self.layout = padded.to(self.bias.device)

    def clear(self) -> None:
        """Remove all heads."""
        self.rows = {}
        self.weight = nn.Parameter(self.weight.detach()[:0])
        self.bias = nn.Parameter(self.bias.detach()[:0])
        self.layout = self.layout[:0, :0]

    def forward(self, features: Tensor, key: str) -> Tensor:
        """Features [N, D] -> logits of one head [N, its classes]."""
        if len(self.rows) == 1:
            return self.flat(features)
        rows = self.rows[key]
        return _logits(features, self.weight[rows], self.bias[rows])

    def flat(self, features: Tensor) -> Tensor:
        """Features [N, D] -> logits of all heads side by side [N, sum of classes], in the order they were added."""
        return _logits(features, self.weight, self.bias)

    def every(self, features: Tensor) -> Tensor:
        """Features [N, D] -> logits [N, heads, widest]; -inf without a gradient beyond a narrower head."""
        return self._padded(features).index_select(1, self.layout.flatten()).unflatten(1, self.layout.shape)

    def own(self, features: Tensor, tasks: Tensor) -> Tensor:
        """Each sample's logits from the head of its own task, for a batch of mixed tasks; does not wait for the device.

        Args:
            features: [N, D].
            tasks: int64 [N], task numbers from 1; the heads are those of the tasks 1, 2, ... in order.

        Returns:
            [N, widest], -inf beyond the sample's own classes.
        """
        return self._padded(features).gather(1, self.layout[tasks - 1])

    def columns(self, labels: Tensor, tasks: Tensor) -> Tensor:
        """The column of each sample's class among the logits of all heads, for mixed tasks: int64 [N].

        Args:
            labels: int64 [N], each from 0 to its own task's classes - 1.
            tasks: int64 [N], as in `own`.
        """
        return self.layout.to(labels.device)[tasks - 1, labels]

    def among_all(self, features: Tensor, columns: Tensor) -> Tensor:
        """Logits of all heads [N, sum of classes], -inf outside the head of each sample's own task.

        Args:
            features: [N, D].
            columns: int64 [N], any column of the sample's own head, as `columns` gives them.
        """
        logits, first = self.flat(features), self.layout[:, 0].contiguous()
        # The number of a column's head is the number of heads that begin up to that column.
        heads = torch.bucketize(torch.arange(logits.shape[1], device=logits.device), first, right=True)
        other = torch.bucketize(columns, first, right=True)[:, None] != heads
        return logits.masked_fill(other, float("-inf"))

    def _padded(self, features: Tensor) -> Tensor:
        """The logits of all heads side by side, and a last column of -inf, for units that a head does not have."""
        return pad(self.flat(features), (0, 1), value=float("-inf"))

    def take(self, key: str) -> dict[str, Tensor]:
        """A head's live tensors, named heads.KEY.weight and heads.KEY.bias."""
        rows = self.rows[key]
        return {f"{_PREFIX}{key}.weight": self.weight[rows], f"{_PREFIX}{key}.bias": self.bias[rows]}

    @torch.no_grad()
    def place(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy values into the heads that exist here; names as `take` gives them."""
        for key in self.rows:
            for name, live in self.take(key).items():
                if name in tensors:
                    live.copy_(tensors[name])


def _logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`linear` in the format of the weight, also where autocast makes passes in bfloat16.

    Bfloat16 has 8 significant bits. Logits rounded to it are often equal although they are not, and the lower class
    would win.
    """
    features = features.to(weight.dtype)
    kind = features.device.type
    # Without autocast, a context would only cost time. Autocast does not know the device "meta".
    if features.is_meta or not torch.is_autocast_enabled(kind):
        return linear(features, weight, bias)
    with torch.autocast(kind, enabled=False):
        return linear(features, weight, bias)


def is_head(name: str) -> bool:
    """Whether a tensor's name belongs to a head."""
    return name.startswith(_PREFIX)


def placeless(tensors: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """A task's tensors with its head `key` renamed to head.weight and head.bias, as in the task's file.

    The file is then the same at any position of the task in the stream.
    """
    own = f"{_PREFIX}{key}."
    return {f"{_OWN}{name.removeprefix(own)}" if name.startswith(own) else name: t for name, t in tensors.items()}


def placed(tensors: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """The inverse of `placeless`."""
    own = f"{_PREFIX}{key}."
    return {f"{own}{name.removeprefix(_OWN)}" if name.startswith(_OWN) else name: t for name, t in tensors.items()}


def head_width(tensors: Mapping[str, Tensor], key: str) -> int:
    """The number of classes of head `key`; names as `Heads.take` gives them."""
    return len(tensors[f"{_PREFIX}{key}.bias"])
