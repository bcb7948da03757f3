"""Watches each operator on the pretended GPU: mixed devices, waits and kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.checks.pretended.log import DeviceError, Log
from benchmark.checks.pretended.places import is_on_gpu, is_pinned, put_on_gpu, storage_of, tensors_in

# The program needs the result of these to go on, or to know the size of another result. Torch's kernels for a GPU read
# a value in the last ones, to check their arguments or results. A name may be that of one overload.
_WAITS = {
    "aten::_local_scalar_dense": "reading a value (.item(), float(), int(), bool() or if)",
    "aten::equal": "torch.equal",
    "aten::allclose": "torch.allclose",
    "aten::nonzero": "nonzero",
    "aten::masked_select": "masked_select",
    "aten::_unique2": "unique",
    "aten::unique_dim": "unique",
    "aten::unique_consecutive": "unique_consecutive",
    "aten::bincount": "bincount",
    "aten::repeat_interleave.Tensor": "repeat_interleave without output_size",
    "aten::_to_sparse": "to_sparse",
    "aten::_linalg_check_errors": "torch.linalg's look for errors",
    **dict.fromkeys(("aten::_linalg_eigh", "aten::_linalg_svd"), "torch.linalg's look for errors"),
    **dict.fromkeys(("aten::linalg_eig", "aten::_linalg_eigvals"), "torch.linalg's look for errors"),
    **dict.fromkeys(("aten::normal.Tensor_Tensor", "aten::normal.float_Tensor"), "normal's look at its std"),
}
#: The cause of a wait.
INDEX_FROM_CPU = "indexing a tensor on the GPU by a tensor on the CPU"
# Operators that launch no kernel, beside those that return a view.
_FREE = {
    *("aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided"),
    *("aten::_unsafe_view", "aten::resize_", "aten::set_", "aten::_reshape_alias", "aten::lift_fresh"),
}
# They only compare forms.
_FORMS = {"aten::is_same_size", "aten::is_set_to", "aten::_has_same_storage_numel"}
# A scalar on the CPU is read as a number by these, beside all that work on each element.
_TAKE_NUMBERS = {"aten::fill_", "aten::fill", "aten::masked_fill", "aten::masked_fill_", "aten::where"}
_INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
# A copy of so few bytes from pageable memory does not wait, if it is allowed not to (CUDA Programming Guide).
_SMALL = 64 << 10


class Operators(TorchDispatchMode):
    """Sees all operators of the thread, those of backward passes too.

    Args:
        log: notes what happens.
    """

    def __init__(self, log: Log):
        super().__init__()
        self.log = log
        # Where results are put: on the GPU or not; None for where the arguments are.
        self._target: bool | None = None
        # Where results of operators without arguments are put.
        self._around = False

    @contextmanager
    def within(self, target: bool | None, around: bool) -> Iterator[None]:
        """Results of the block are on the GPU or not.

        Args:
            target: for all results; None for where an operator's arguments are.
            around: for results of operators without arguments.
        """
        before = self._target, self._around
        self._target, self._around = target, around
        try:
            yield
        finally:
            self._target, self._around = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            given = list(tensors_in(args, kwargs))
            places = [is_on_gpu(tensor) for tensor in given]
            if any(places):
                self._look(func, args, given, places)
            result = func(*args, **kwargs)
            target = self._target
            if target is None:
                target = any(places) if places else self._around
            if target:
                known = {id(storage_of(tensor)) for tensor in given}
                for tensor in tensors_in(result):
                    if id(storage_of(tensor)) not in known:
                        put_on_gpu(tensor)
            if (target or any(places)) and not func.is_view and func._schema.name not in _FREE:
                self.log.launch()
        return result

    def _look(self, func: Any, args: Sequence[Any], given: Sequence[Tensor], places: Sequence[bool]) -> None:
        """Look at an operator before it runs; at least one tensor is on the GPU."""
        name = func._schema.name
        cause = _WAITS.get(name) or _WAITS.get(func.name())
        if cause:
            self.log.wait(cause)
        elif name == "aten::multinomial" and (args[1] == 1 or not any(args[2:])):
            self.log.wait("multinomial's look at its probabilities")
        if name == "aten::copy_":
            self.copy(args[1], is_on_gpu(args[0]), is_pinned(args[0]), len(args) > 2 and bool(args[2]))
        elif name in _INDEXED:
            self._look_at_indices(name, args)
        elif name not in _FORMS and not all(places):
            self._refuse_mixed(func, args, given, places)

    def copy(self, source: Tensor, to_gpu: bool, into_pinned: bool, non_blocking: bool) -> None:
        """Note a copy, which waits unless it is allowed not to and the memory of the CPU is pinned."""
        if is_on_gpu(source) == to_gpu:
            return
        way = "from the CPU to the GPU" if to_gpu else "from the GPU to the CPU"
        if not non_blocking:
            self.log.wait(f"a copy {way} without non_blocking=True")
        elif not (is_pinned(source) or into_pinned) and not (to_gpu and source.nbytes <= _SMALL):
            self.log.wait(f"a copy {way} of memory that is not pinned")

    def _look_at_indices(self, name: str, args: Sequence[Any]) -> None:
        tensor, indices = args[0], [index for index in args[1] if index is not None]
        values = args[2] if len(args) > 2 else None
        on_gpu = is_on_gpu(tensor)
        if not on_gpu and any(map(is_on_gpu, indices)):
            raise DeviceError("a tensor on the CPU is indexed by a tensor on the GPU")
        if values is not None and is_on_gpu(values) != on_gpu and values.ndim:
            raise DeviceError("values of another device are put into a tensor by an index")
        if not on_gpu:
            return
        masks = [index for index in indices if index.dtype in (torch.bool, torch.uint8)]
        # torch fills by a mask without counting its elements.
        fills = values is not None and values.numel() == 1 and len(masks) == len(indices) == 1
        if not all(map(is_on_gpu, indices)):
            self.log.wait(INDEX_FROM_CPU)
        elif masks and not fills:
            self.log.wait("indexing by a boolean mask")

    def _refuse_mixed(self, func: Any, args: Sequence[Any], given: Sequence[Tensor], places: Sequence[bool]) -> None:
        name = func._schema.name
        numbers = torch.Tag.pointwise in func.tags or name in _TAKE_NUMBERS or name.startswith("aten::_foreach_")
        others = [tensor for tensor, on_gpu in zip(given, places, strict=True) if not on_gpu]
        written = func._schema.is_mutable and not places[0]
        if name.startswith("aten::_foreach_copy"):
            for target, source in zip(args[0], args[1], strict=True):
                self.copy(source, is_on_gpu(target), is_pinned(target), len(args) > 2 and bool(args[2]))
        elif written or not numbers or any(tensor.ndim for tensor in others):
            shapes = ", ".join(str(list(tensor.shape)) for tensor in others)
            raise DeviceError(f"{func} gets tensors on the GPU and, of the shape {shapes}, on the CPU")
