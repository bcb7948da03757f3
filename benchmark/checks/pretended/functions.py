"""Answers the functions of torch that ask for a tensor's device, or make or move tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchmark.checks.pretended.log import DeviceError, Log
from benchmark.checks.pretended.operators import INDEX_FROM_CPU, Operators
from benchmark.checks.pretended.places import GPU, is_on_gpu, is_pinned, means_gpu, pin, put_on_gpu, tensors_in

# Avalanche's own code calls torch so; elsewhere its warning is left out by its module, which is now this one.
warnings.filterwarnings("ignore", message="Using a non-tuple sequence", module=__name__)


class Functions(TorchFunctionMode):
    """Sees all calls of torch's functions in the thread.

    Args:
        log: notes what happens.
        operators: sees the operators of the same thread.
    """

    def __init__(self, log: Log, operators: Operators):
        super().__init__()
        self.log = log
        self.operators = operators

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = _ANSWERS.get(func)
        if answer is not None:
            return answer(self, func, *args, **(kwargs or {}))
        if isinstance(func, torch._ops.OpOverload):
            # Another mode passes on what torch itself has called.
            return func(*args, **(kwargs or {}))
        return self.call(func, *args, **(kwargs or {}))

    def call(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function; its results are on the device that it is given, else where its arguments are."""
        target, pinned = None, kwargs.pop("pin_memory", False)
        if kwargs.get("device") is not None:
            target = means_gpu(kwargs["device"])
            if target:
                kwargs["device"] = "cpu"
        given = list(tensors_in(args, kwargs))
        around = any(map(is_on_gpu, given)) if target is None else target
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Generator) and means_gpu(value.device) != around:
                places = ("GPU", "CPU") if around else ("CPU", "GPU")
                raise DeviceError(f"{_name(func)} fills a tensor on the {places[0]} by a generator of the {places[1]}")
        with self.operators.within(target, around):
            result = func(*args, **kwargs)
        for tensor in tensors_in(result) if target or pinned else ():
            (put_on_gpu if target else pin)(tensor)
        return result

    def device(self, func: Any, tensor: Tensor) -> Any:
        return GPU if is_on_gpu(tensor) else func(tensor)

    def is_cuda(self, func: Any, tensor: Tensor) -> Any:
        return is_on_gpu(tensor) or func(tensor)

    def is_cpu(self, func: Any, tensor: Tensor) -> Any:
        return not is_on_gpu(tensor) and func(tensor)

    def get_device(self, func: Any, tensor: Tensor) -> Any:
        return GPU.index if is_on_gpu(tensor) else func(tensor)

    def to(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        other = args[0] if args and isinstance(args[0], Tensor) else kwargs.pop("other", None)
        flags = [value for value in args if isinstance(value, bool)]
        copied = kwargs.pop("copy", flags[1] if len(flags) > 1 else False)
        rest = [value for value in args if not isinstance(value, (bool, Tensor))]
        kwargs.setdefault("non_blocking", bool(flags and flags[0]))
        device, dtype, non_blocking, form = torch._C._nn._parse_to(*rest, **kwargs)
        if other is not None:
            device, dtype = GPU if is_on_gpu(other) else other.device, other.dtype
        form = form or torch.preserve_format
        if tensor.is_meta or (device is not None and device.type == "meta"):
            return func(tensor, device=device, dtype=dtype, copy=copied)
        target = is_on_gpu(tensor) if device is None else means_gpu(device)
        return self.move(tensor, target, dtype or tensor.dtype, non_blocking, copied, form)

    def cuda(
        self,
        func: Any,
        tensor: Tensor,
        device: Any = None,
        non_blocking: bool = False,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> Tensor:
        return self.move(tensor, True, tensor.dtype, non_blocking, False, memory_format)

    def cpu(self, func: Any, tensor: Tensor, memory_format: torch.memory_format = torch.preserve_format) -> Tensor:
        return self.move(tensor, False, tensor.dtype, False, False, memory_format)

    def move(
        self,
        tensor: Tensor,
        target: bool,
        dtype: torch.dtype,
        non_blocking: bool,
        copied: bool,
        form: torch.memory_format,
    ) -> Tensor:
        """Return a tensor on the GPU or on the CPU, as Tensor.to does."""
        moves = is_on_gpu(tensor) != target
        with self.operators.within(target if moves else None, target):
            result = Tensor.to(tensor, dtype=dtype, copy=copied or moves, memory_format=form)
        if moves:
            if non_blocking and not target:
                # torch does so too.
                pin(result)
            self.operators.copy(tensor, target, is_pinned(result), non_blocking)
        return result

    def numpy(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if is_on_gpu(tensor):
            raise DeviceError("NumPy gets a tensor on the GPU; only those on the CPU can be arrays")
        return func(tensor, *args, **kwargs)

    def tolist(self, func: Any, tensor: Tensor) -> Any:
        if is_on_gpu(tensor):
            self.log.wait("tolist")
        return func(tensor)

    def pin_memory(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if is_on_gpu(tensor):
            raise DeviceError("pin_memory gets a tensor on the GPU; only those on the CPU can be pinned")
        if is_pinned(tensor):
            return tensor
        pinned = tensor.clone()
        pin(pinned)
        return pinned

    def is_pinned(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> bool:
        return is_pinned(tensor)

    def deepcopy(self, func: Any, tensor: Tensor, memo: Any) -> Tensor:
        twin: Tensor = func(tensor, memo)
        if is_on_gpu(tensor):
            put_on_gpu(twin)
        return twin

    def set_item(self, func: Any, tensor: Tensor, key: Any, value: Any) -> None:
        indices = [index for index in tensors_in(key) if index.ndim]
        if is_on_gpu(tensor) and not all(map(is_on_gpu, indices)):
            # Then torch fills in another way.
            self.log.wait(INDEX_FROM_CPU)
            parts = key if isinstance(key, tuple) else (key,)
            key = tuple(_copied(part) if isinstance(part, Tensor) else part for part in parts)
        self.call(func, tensor, key, value)

    def set_grad(self, func: Any, tensor: Tensor, grad: Tensor | None) -> None:
        if grad is not None and is_on_gpu(grad) != is_on_gpu(tensor):
            raise DeviceError("a tensor gets a gradient of another device")
        func(tensor, grad)

    def from_values(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Answer functions that make a tensor on the CPU first, and then copy it to the GPU."""
        device = kwargs.get("device")
        target = means_gpu(device) if device is not None else func is Tensor.new_tensor and is_on_gpu(args[0])
        if not target:
            made: Tensor = self.call(func, *args, **kwargs)
            return made
        kwargs.pop("device", None)
        data = args[0] if func is not Tensor.new_tensor else args[1]
        if isinstance(data, Tensor):
            return self.move(data, True, kwargs.get("dtype") or data.dtype, False, False, torch.preserve_format)
        with self.operators.within(False, False):
            made = func(*args, **kwargs)
        return self.move(made, True, made.dtype, False, False, torch.preserve_format)

    def one_hot(self, func: Any, tensor: Tensor, num_classes: int = -1) -> Tensor:
        if is_on_gpu(tensor) and num_classes == -1:
            self.log.wait("one_hot without num_classes")
        # On the CPU, torch looks at the values first.
        with self.operators.within(None, is_on_gpu(tensor)), torch.utils._python_dispatch._disable_current_modes():
            hot: Tensor = func(tensor, num_classes)
        if is_on_gpu(tensor):
            put_on_gpu(hot)
        return hot


# The class's attributes are descriptors, which type checkers take for their values.
_TENSOR: Any = Tensor

_ANSWERS: dict[Any, Callable[..., Any]] = {
    _TENSOR.device.__get__: Functions.device,
    _TENSOR.is_cuda.__get__: Functions.is_cuda,
    _TENSOR.is_cpu.__get__: Functions.is_cpu,
    Tensor.get_device: Functions.get_device,
    Tensor.to: Functions.to,
    Tensor.cuda: Functions.cuda,
    Tensor.cpu: Functions.cpu,
    Tensor.numpy: Functions.numpy,
    Tensor.__array__: Functions.numpy,
    Tensor.tolist: Functions.tolist,
    Tensor.pin_memory: Functions.pin_memory,
    Tensor.is_pinned: Functions.is_pinned,
    Tensor.__deepcopy__: Functions.deepcopy,
    Tensor.__setitem__: Functions.set_item,
    _TENSOR.grad.__set__: Functions.set_grad,
    Tensor.new_tensor: Functions.from_values,
    torch.tensor: Functions.from_values,
    torch.as_tensor: Functions.from_values,
    torch.asarray: Functions.from_values,
    torch.nn.functional.one_hot: Functions.one_hot,
}


def _name(func: Any) -> str:
    return getattr(func, "__name__", str(func))


def _copied(index: Tensor) -> Tensor:
    copy = index.clone()
    put_on_gpu(copy)
    return copy
