"""The plugin interface of methods, their registry, and CLR with its variants.

A method is registered by name::

    from methods import Method, methods

    @methods.register("my-method")
    class MyMethod(Method):
        ...

What a method needs is here: `Method` and the types of its parameters (`Step`, `Network`, `Samples`). All but the
registry is loaded on first use, because it imports torch and Avalanche.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from methods.errors import UserError
from methods.registry import Registry

if TYPE_CHECKING:
    from methods.data import Samples
    from methods.heads import Heads
    from methods.memory import MemorySize
    from methods.method import BatchNorm, BNPolicy, Method, Part, Start
    from methods.network import Network
    from methods.recipe import Range, Recipe
    from methods.step import Step

__all__ = [
    "BNPolicy",
    "BatchNorm",
    "Heads",
    "MemorySize",
    "Method",
    "Network",
    "Part",
    "Range",
    "Recipe",
    "Samples",
    "Start",
    "Step",
    "UserError",
    "methods",
]

# The modules of the names that are loaded on first use.
_LAZY = {
    **dict.fromkeys(("BNPolicy", "BatchNorm", "Method", "Part", "Start"), "methods.method"),
    **dict.fromkeys(("Range", "Recipe"), "methods.recipe"),
    "Heads": "methods.heads",
    "MemorySize": "methods.memory",
    "Network": "methods.network",
    "Samples": "methods.data",
    "Step": "methods.step",
}

methods: Registry[type[Method]] = Registry("method", entry_points="continual_benchmark.methods")
for _name, _target, _summary in (
    ("clr", "methods.clr:CLR", "frozen backbone; per-task 3x3 depthwise kernels after all but 1x1 convs, BN and head"),
    ("clr-full", "methods.clr:CLRFull", "CLR with a 3x3 kernel after every conv"),
    ("clr-mixed", "methods.clr:CLRMixed", "CLR that also has 1x1 kernels after 1x1 convs"),
    ("sgd", "baselines.sgd:SGD", "fine-tune everything, a head per task: no defence against forgetting"),
    ("sgd-ll", "baselines.sgd_ll:SGDLastLayer", "frozen backbone, one shared linear head that every task fine-tunes"),
    ("linear-probe", "baselines.linear_probe:LinearProbe", "frozen backbone, a linear head per task"),
    ("bn-only", "baselines.bn_only:BNOnly", "norm-only by its older name"),
    ("ewc", "baselines.ewc:EWC", "elastic weight consolidation, Fisher and anchor kept for each task"),
    ("online-ewc", "baselines.online_ewc:OnlineEWC", "elastic weight consolidation with one running Fisher"),
    ("si", "baselines.si:SI", "synaptic intelligence: importance from the path of each weight"),
    ("lwf", "baselines.lwf:LwF", "learning without forgetting: distils the old heads' answers on new images"),
    ("er", "baselines.er:ER", "experience replay from a reservoir of past images"),
    ("er-ace", "baselines.er_ace:ERACE", "experience replay; new images compete with classes of their batch alone"),
    ("derpp", "baselines.derpp:DERpp", "dark experience replay: stored logits beside images and labels"),
    ("cls-er", "baselines.cls_er:CLSER", "experience replay with a fast and a slow mean of the weights, which answers"),
    ("agem", "baselines.agem:AGEM", "gradients projected so that the loss on stored images does not rise"),
    ("ncm", "baselines.ncm:NCM", "frozen backbone, the nearest class mean by cosine; no gradient step"),
    ("slda", "baselines.slda:SLDA", "frozen backbone, streaming linear discriminant analysis; no gradient step"),
    ("ranpac", "baselines.ranpac:RanPAC", "frozen backbone, ridge regression on random features; no gradient step"),
    ("slca", "baselines.slca:SLCA", "slow fine-tuning; the head is aligned on samples of each class's distribution"),
    ("aper", "baselines.aper:APER", "frozen and adapted features; the first task adapts; the nearest class mean"),
    (
        "ease",
        "baselines.ease:EASE",
        "adapters per task, all of them asked; prototypes of each class in the space of each",
    ),
    ("lae", "baselines.lae:LAE", "online and offline adapters for all tasks, and the surer answer of both"),
    ("icarl", "baselines.icarl:ICaRL", "exemplars by herding, distillation, and the nearest mean of exemplars"),
    ("gdumb", "baselines.gdumb:GDumb", "a balanced memory, and a network trained from the start on it alone"),
    ("wa", "baselines.wa:WA", "exemplars and distillation; the new classes' weights are aligned with the old ones'"),
    ("bic", "baselines.bic:BiC", "exemplars and distillation; two values correct the new classes' logits"),
    ("psp", "baselines.psp:PSP", "one set of weights, seen through a context of signs per task"),
    ("supsup", "baselines.supsup:SupSup", "random frozen weights, a binary mask per task"),
    ("piggyback", "baselines.piggyback:Piggyback", "pretrained frozen weights, a binary mask per task"),
    ("packnet", "baselines.packnet:PackNet", "each task trains and keeps a share of the weights still free"),
    ("hat", "baselines.hat:HAT", "hard attention to the task: gates that protect the units of earlier tasks"),
    ("ccll", "baselines.ccll:CCLL", "calibration of each convolution's output, spatially and per channel"),
    ("confit", "baselines.confit:ConFiT", "fine-tuning in three stages; calibrated batch normalisation per task"),
    ("eft", "baselines.eft:EFT", "group-wise and point-wise convolutions per task after every convolution"),
    ("bpn", "baselines.bpn:BPN", "frozen backbone, a bias per channel and task"),
    ("residual-adapters", "baselines.residual_adapters:ResidualAdapters", "frozen backbone, 1x1 convolutions per task"),
    ("conv-lora", "baselines.conv_lora:ConvLoRA", "frozen backbone, a low-rank change of its weights per task"),
    ("norm-only", "baselines.norm_only:NormOnly", "frozen backbone, normalisation and head per task"),
    ("bitfit", "baselines.bitfit:BitFit", "frozen backbone, biases per task"),
    ("lora", "baselines.lora:LoRA", "frozen transformer, a low-rank change of its attention per task"),
    ("vpt", "baselines.vpt:VPT", "frozen transformer, prompt tokens beside the patches per task"),
    ("adapter", "baselines.adapter:AdaptFormer", "frozen backbone, a bottleneck per block and task"),
    ("ssf", "baselines.ssf:SSF", "frozen backbone, a scale and a shift after each layer per task"),
    ("reprogram", "baselines.reprogram:Reprogram", "frozen backbone, a perturbation of the input per task"),
    ("l2p", "baselines.l2p:L2P", "frozen transformer; tokens from a pool, chosen by the image's features"),
    ("dualprompt", "baselines.dualprompt:DualPrompt", "frozen transformer; keys and values for all, and for each task"),
    ("coda-prompt", "baselines.coda_prompt:CODAPrompt", "frozen transformer; keys and values summed of components"),
    ("single-task", "baselines.single_task:SingleTask", "a fine-tuned copy of the backbone per task: a bound"),
    ("joint", "baselines.joint:Joint", "all tasks so far together, from the backbone: a bound"),
    ("avalanche", "baselines.avalanche.plugins:AvalanchePlugin", "a plugin of Avalanche: avalanche:MASPlugin"),
):
    methods.add_lazy(_name, _target, _summary)

# Nothing is imported to list a group, so what a class would say of itself is said here.
methods.add_group(
    "all",
    "every method that needs nothing but its name, on any backbone, and answers where the task is known",
    without=(
        # It has to be told which plugin.
        "avalanche",
        # It is norm-only.
        "bn-only",
        # They have no answer where the task is known.
        *("icarl", "wa", "bic", "slca", "ease"),
        # They need a transformer.
        *("lora", "vpt", "l2p", "dualprompt", "coda-prompt"),
    ),
    accepts=lambda cls: "task" in getattr(cls, "scenarios", ("task",)),
)
methods.add_group(
    "class",
    "methods for --scenario class, where classes of all tasks compete",
    members=(
        *("sgd", "ewc", "online-ewc", "si", "lwf"),
        *("er", "er-ace", "derpp", "cls-er", "agem", "icarl", "gdumb", "wa", "bic"),
        *("ncm", "slda", "ranpac", "slca", "aper", "ease", "lae", "joint"),
    ),
)
methods.add_group(
    "peft",
    "few values per task beside a frozen backbone; lora and vpt need a transformer",
    members=("norm-only", "bitfit", "ssf", "lora", "adapter", "vpt"),
)
methods.add_group(
    "prompts",
    "prompts that an image chooses, for --scenario class and a transformer",
    members=("l2p", "dualprompt", "coda-prompt"),
)
methods.add_group(
    "paper",
    "CLR and the thirteen baselines of its article",
    members=(
        *("clr", "ewc", "online-ewc", "si", "lwf", "er", "derpp"),
        *("supsup", "psp", "ccll", "confit", "eft", "sgd", "sgd-ll"),
    ),
)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'methods' has no attribute {name!r}")
