"""Any network of the package timm, without its classifier."""

from __future__ import annotations

import difflib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone, fill, read_weights
from methods.errors import UserError, first_line

# In files of DINOv2 and MAE; it only takes part in the pretraining.
_BESIDE = ("mask_token",)


@backbones.register("timm")
class TimmBackbone(Backbone):
    """timm:NAME[:weights=pretrained][:image_size=N] - any network of the package timm, an extra

    A network that takes images of one size only, as most
    transformers, gets them in the size of timm's weights.

    Args:
        model: timm's name of the network, with or without a tag of its weights, as `vit_small_patch16_224.dino`.
        weights: "random", "pretrained" (timm's, downloaded once), or a .safetensors or .pth file, also one with DINO's
            or DINOv2's names.
        image_size: the height and width of its images, in pixels; none for timm's, or any if the network takes any.
            The position embeddings of weights for another size are interpolated.
        normalise: whether images are normalised as timm's weights of that name expect; else pixels are from 0 to 1.
    """

    def __init__(self, model: str, weights: str = "random", image_size: int | None = None, normalise: bool = True):
        if image_size is not None and image_size < 1:
            raise ValueError(f"image_size={image_size} is not at least 1")
        self.model = model
        self.weights = weights
        self._published = _published(model)
        self.normalise = normalise
        channels = len(self._published.mean)
        self.mean = tuple(self._published.mean) if normalise else (0.0,) * channels
        self.std = tuple(self._published.std) if normalise else (1.0,) * channels
        own = int(self._published.input_size[1]) if self._published.fixed_input_size else None
        self.image_size = image_size or own

    @property
    def label(self) -> str:
        return f"{self.name}:{self.model}"

    @property
    def pretraining(self) -> str:
        if self.weights == "pretrained":
            return f"timm ({self._published.tag})" if self._published.tag else "timm"
        return "none" if self.weights == "random" else Path(self.weights).name

    def modules(self) -> nn.Module:
        try:
            return self._made(pretrained=False)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"--backbone: {self.label} cannot be made: {first_line(error)}") from error

    def _made(self, pretrained: bool) -> nn.Module:
        import timm

        # Networks that take any size have no such option.
        size: dict[str, Any] = {"img_size": self.image_size} if self._published.fixed_input_size else {}
        return timm.create_model(self.model, pretrained=pretrained, num_classes=0, **size)

    def load(self, modules: nn.Module) -> None:
        if self.weights == "random":
            return
        if self.weights == "pretrained":
            source, weights = f"{self.label}:weights=pretrained", self._downloaded()
        else:
            source, weights = self.weights, read_weights(self.weights, ("random", "pretrained"))
        classifiers = self._published.classifier or ()
        names = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        fill(
            modules,
            self._converted(weights, modules, source),
            (*(f"{name}." for name in names), *_BESIDE),
            source,
            self.warn,
        )

    def _downloaded(self) -> dict[str, Tensor]:
        try:
            with _told_once("huggingface_hub", self._says_it_waits):
                return dict(self._made(pretrained=True).state_dict())
        except Exception as error:  # whatever timm's ways to download raise
            raise UserError(
                f"--backbone: the weights of {self.label} could not be downloaded ({first_line(error)}); give a local "
                f"file with {self.label}:weights=FILE"
            ) from error

    def _says_it_waits(self) -> None:
        self.warn(
            f"--backbone: the weights of {self.label} cannot be downloaded yet; it is tried again for up to a minute"
        )

    def _converted(self, weights: dict[str, Tensor], modules: nn.Module, source: str) -> Mapping[str, Tensor]:
        """The weights under timm's names and in this network's shapes, converted by timm if they are published so."""
        wanted = {name: tensor.shape for name, tensor in modules.state_dict().items()}
        if all(name in weights and weights[name].shape == shape for name, shape in wanted.items()):
            return weights
        # Each module of timm has a function that reads what its networks' authors published.
        convert: Callable[..., dict[str, Tensor]] | None = getattr(
            sys.modules[type(modules).__module__], "checkpoint_filter_fn", None
        )
        if convert is None:
            return weights
        try:
            found = convert(dict(weights), modules)
        except Exception:  # timm expects some names, and `fill` says which are missing
            return weights
        for name in found.keys() & weights.keys() & wanted.keys():
            if found[name].shape != weights[name].shape:
                shapes = f"{list(weights[name].shape)} to {list(found[name].shape)}"
                self.warn(f"--backbone: '{name}' of {source} has another shape; timm interpolates it, {shapes}")
        return found


def _published(model: str) -> Any:
    """What timm says about a network's weights (timm's PretrainedCfg).

    Raises:
        UserError: timm is not installed, or has no such network or weights.
    """
    if importlib.util.find_spec("timm") is None:
        raise UserError('--backbone: timm is not installed; install it with: pip install ".[timm]"')
    import timm

    if not timm.is_model(model):
        close = difflib.get_close_matches(model.partition(".")[0], timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() lists them"
        raise UserError(f"--backbone: timm has no network '{model}'; {hint}")
    try:
        return timm.get_pretrained_cfg(model)
    except RuntimeError:
        name, _, tag = model.partition(".")
        known = [text.partition(".")[2] for text in timm.list_pretrained(f"{name}.*")]
        hint = f"known are {', '.join(known)}" if known else "leave the tag out"
        raise UserError(f"--backbone: timm has no weights '{tag}' of {name}; {hint}") from None


@contextmanager
def _told_once(name: str, tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` at a logger's first warning, here about a try to download, and print none of them."""
    logger, told = logging.getLogger(name), _Told(tell)
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers[:], logger.propagate = [told], False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = handlers, propagate


class _Told(logging.Handler):
    """Calls a function at the first record."""

    def __init__(self, tell: Callable[[], None]):
        super().__init__(logging.WARNING)
        self._tell: Callable[[], None] | None = tell

    def emit(self, record: logging.LogRecord) -> None:
        tell, self._tell = self._tell, None
        if tell:
            tell()
