"""How far each tensor of a transformer is from its top."""

from __future__ import annotations

from methods.network import Network
from methods.transformers import blocks


class Heights:
    """The blocks of a transformer above each tensor, and one for the classifier.

    Args:
        network: the backbone as given. A method's own modules may be added later.
    """

    def __init__(self, network: Network):
        self._blocks = blocks(network)
        self._known: dict[str, int] = {}
        # What comes before the first block is below all of them; what comes after another belongs to it.
        height = len(self._blocks) + 1
        for name, _, _ in network.tensors():
            inside = self._inside(name)
            if inside is not None:
                height = inside
            elif height == 1:
                # It comes after the last block.
                height = 0
            self._known[name] = height

    def of(self, name: str) -> int:
        """The height of a tensor: 0 for heads and what is after the last block, 1 for the last block, and so on.

        A tensor that a method has added has the height of its block; outside of the blocks it is at the top.
        """
        inside = self._inside(name)
        return self._known.get(name, 0) if inside is None else inside

    def _inside(self, name: str) -> int | None:
        """The height of the block that a tensor is in; None if it is in none."""
        for number, block in enumerate(self._blocks):
            if name.startswith(f"{block.name}."):
                return len(self._blocks) - number
        return None
