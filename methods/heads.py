"""Linear classifiers side by side: a head per task, of exactly its class count."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

_PREFIX = "heads."
# The name of a task's only head in the task's file.
_OWN = "head."


class Classifier(nn.Module):
    """Units that give logits from features: what `Heads` (a head per task) and `JointHead` (one head) have in common.

    N is the number of samples, D the length of the backbone's feature vector.

    Attributes:
        rows: the key of a head -> its units.
        layout: int64 [groups, widest], units by group: see `every`. It is `units` where a group has fewer.
        closed: how many units, from the first, take no part in an answer.
        tasks: the columns of each task up to the one that is learned; only a `JointHead` has them.
    """

    layout: Tensor
    rows: dict[str, slice]
    closed: int = 0
    tasks: tuple[range, ...] = ()

    @property
    def units(self) -> int:
        """The number of all units."""
        raise NotImplementedError

    @property
    def widest(self) -> int:
        """The most logits that `own` gives a sample."""
        raise NotImplementedError

    @property
    def widths(self) -> Tensor:
        """The number of logits that a sample had when its task was learned: int64 [tasks]."""
        raise NotImplementedError

    def add(self, key: str, classes: int) -> None:
        """Add units for the classes of a task, or of all tasks, initialised from torch's global random state."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove all units."""
        raise NotImplementedError

    def forward(self, features: Tensor, key: str) -> Tensor:
        """Features [N, D] -> logits of one head [N, its classes]."""
        raise NotImplementedError

    def flat(self, features: Tensor) -> Tensor:
        """Features [N, D] -> logits of all units side by side [N, units], in the order they were added."""
        raise NotImplementedError

    def whole(self, features: Tensor, key: str) -> Tensor:
        """As `forward`, but also the units before `closed` answer."""
        raise NotImplementedError

    def every(self, features: Tensor) -> Tensor:
        """Features [N, D] -> logits [N, groups, widest], -inf without a gradient where a group has fewer units.

        Among `Heads`, a group is a head. Those of a `JointHead` are the classes before the new task, and its own.
        """
        return self._padded(features).index_select(1, self.layout.flatten()).unflatten(1, self.layout.shape)

    def own(self, features: Tensor, tasks: Tensor) -> Tensor:
        """Each sample's logits for its own task, for a batch of mixed tasks; does not wait for the device.

        Args:
            features: [N, D].
            tasks: int64 [N], task numbers from 1; the heads are those of the tasks 1, 2, ... in order.

        Returns:
            [N, widest], -inf beyond the sample's own classes. A `JointHead` has those of all tasks.
        """
        raise NotImplementedError

    def columns(self, labels: Tensor, tasks: Tensor) -> Tensor:
        """The column of each sample's class among the logits of all units, for mixed tasks: int64 [N].

        Args:
            labels: int64 [N], as the method gets them.
            tasks: int64 [N], as in `own`.
        """
        raise NotImplementedError

    def among_all(self, features: Tensor, columns: Tensor) -> Tensor:
        """Logits of all units [N, units], -inf outside the classes that each sample's answer is one of.

        Args:
            features: [N, D].
            columns: int64 [N], any column of the sample's own task, as `columns` gives them.
        """
        raise NotImplementedError

    def take(self, key: str) -> dict[str, Tensor]:
        """A head's live tensors, named heads.KEY.weight [classes, D] and heads.KEY.bias [classes]."""
        raise NotImplementedError

    def place(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy values into the units that exist here; names as `take` gives them."""
        raise NotImplementedError

    def assign(self, weight: Tensor, bias: Tensor) -> None:
        """Give all units new values, in the order they were added: weight [units, D], bias [units], of any dtype."""
        raise NotImplementedError

    def _padded(self, features: Tensor) -> Tensor:
        """The logits of all units side by side, and a last column of -inf, for units that a group does not have."""
        return pad(self.flat(features), (0, 1), value=float("-inf"))


class Heads(Classifier):
    """Heads as the rows of one weight, so that one step serves all heads, however many there are.

    Args:
        features: D.
    """

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(0, features, device="cpu"))
        self.bias = nn.Parameter(torch.empty(0, device="cpu"))
        self.rows: dict[str, slice] = {}
        # [heads, widest]: the column of each unit among all logits; one past the last column if the head is narrower.
        self.register_buffer("layout", torch.empty(0, 0, dtype=torch.int64), persistent=False)

    @property
    def units(self) -> int:
        return len(self.bias)

    @property
    def widest(self) -> int:
        return self.layout.shape[1]

    @property
    def widths(self) -> Tensor:
        return (self.layout < self.units).sum(1)

    def add(self, key: str, classes: int) -> None:
        new = new_units(self.weight.shape[1], classes)
        self.rows[key] = slice(len(self.bias), len(self.bias) + classes)
        self.weight = nn.Parameter(torch.cat([self.weight.detach(), new.weight.detach().to(self.weight)]))
        self.bias = nn.Parameter(torch.cat([self.bias.detach(), new.bias.detach().to(self.bias)]))
        columns = torch.arange(len(self.bias), device="cpu")
        layout = [columns[rows] for rows in self.rows.values()]
        padded = nn.utils.rnn.pad_sequence(layout, batch_first=True, padding_value=len(columns))
        self.layout = padded.to(self.bias.device)

    def clear(self) -> None:
        self.rows = {}
        self.weight = nn.Parameter(self.weight.detach()[:0])
        self.bias = nn.Parameter(self.bias.detach()[:0])
        self.layout = self.layout[:0, :0]

    def forward(self, features: Tensor, key: str) -> Tensor:
        if len(self.rows) == 1:
            return self.flat(features)
        rows = self.rows[key]
        return logits_of(features, self.weight[rows], self.bias[rows])

    def flat(self, features: Tensor) -> Tensor:
        return logits_of(features, self.weight, self.bias)

    def whole(self, features: Tensor, key: str) -> Tensor:
        return self.forward(features, key)

    def own(self, features: Tensor, tasks: Tensor) -> Tensor:
        return self._padded(features).gather(1, self.layout[tasks - 1])

    def columns(self, labels: Tensor, tasks: Tensor) -> Tensor:
        return self.layout.to(labels.device)[tasks - 1, labels]

    def among_all(self, features: Tensor, columns: Tensor) -> Tensor:
        logits, first = self.flat(features), self.layout[:, 0].contiguous()
        # The number of a column's head is the number of heads that begin up to that column.
        heads = torch.bucketize(torch.arange(logits.shape[1], device=logits.device), first, right=True)
        other = torch.bucketize(columns, first, right=True)[:, None] != heads
        return logits.masked_fill(other, float("-inf"))

    def take(self, key: str) -> dict[str, Tensor]:
        return named(key, self.weight[self.rows[key]], self.bias[self.rows[key]])

    @torch.no_grad()
    def place(self, tensors: Mapping[str, Tensor]) -> None:
        for key in self.rows:
            for name, live in self.take(key).items():
                if name in tensors:
                    live.copy_(tensors[name])

    @torch.no_grad()
    def assign(self, weight: Tensor, bias: Tensor) -> None:
        self.weight.copy_(weight)
        self.bias.copy_(bias)


def new_units(features: int, classes: int) -> nn.Linear:
    """New units, made on the CPU, so that their values do not depend on the device."""
    return nn.Linear(features, classes, device="cpu")


def named(key: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The tensors of head `key` under the names that they are stored with."""
    return {f"{_PREFIX}{key}.weight": weight, f"{_PREFIX}{key}.bias": bias}


def logits_of(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
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
