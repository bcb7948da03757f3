"""What methods need to know about a transformer: its blocks, and where their attention has its weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from methods.errors import UserError, cannot
from methods.norms import is_norm

# The linear layer that makes queries, keys and values: of timm and of torchvision's Swin, and of its MaxViT.
_QKV = ("qkv", "to_qkv")
# All that an attention of timm may have if its tokens are a sequence of any length.
_CHILDREN = {"qkv", "q_norm", "k_norm", "attn_drop", "norm", "gate", "proj", "proj_drop"}
_PARAMETERS = {"x", "attn_mask", "is_causal"}


@dataclass(frozen=True)
class Block:
    """A block of a transformer: attention, then a perceptron.

    Attributes:
        name: of the block in the network.
        module: the block. It maps tokens [N, L, D], or a grid of them, to tokens of the same shape.
        attention: the attention, somewhere inside.
        mlp: the perceptron, a child of the block.
        width: D.
    """

    name: str
    module: nn.Module
    attention: nn.Module
    mlp: nn.Module
    width: int

    @property
    def mlp_is_branch(self) -> bool:
        """Whether the perceptron begins with its own norm, so that it is the whole branch beside a residual connection.

        Otherwise the block has the norm, and whatever scales the branch, as children.
        """
        return is_norm(next(module for module in self.mlp.modules() if not list(module.children())))


def blocks(network: nn.Module) -> list[Block]:
    """The blocks of a transformer, in the order they are defined; none if the network is no transformer.

    A block is the smallest module that has both an attention and one other child with linear layers. So the networks of
    torchvision and timm need not be listed.
    """
    parents = {child: (name, parent) for name, parent in network.named_modules() for child in parent.children()}
    found = []
    for attention in attentions(network):
        inside: nn.Module = attention
        while inside in parents:
            name, module = parents[inside]
            others = [child for child in module.children() if child is not inside and _is_perceptron(child)]
            if others:
                if len(others) == 1:
                    found.append(Block(name, module, attention, others[0], width(attention)))
                break
            inside = module
    return found


def blocks_for(network: nn.Module, method: str) -> list[Block]:
    """The blocks of a transformer, for a method that needs them.

    Raises:
        UserError: there are none.
    """
    found = blocks(network)
    if not found:
        instead = "leave the method out, or give a transformer, as --backbone mini-vit"
        raise UserError(cannot(method, "it works on the blocks of a transformer, and there are none", instead))
    return found


def sequence_blocks_for(network: nn.Module, method: str, least: int = 1) -> list[Block]:
    """The blocks of a transformer, for a method that adds tokens, or keys and values, to its sequences [N, L, D].

    Args:
        network: the network.
        method: its name, for the message.
        least: how many blocks it needs.

    Raises:
        UserError: there are fewer, or an attention does not take sequences of any length.
    """
    found = blocks_for(network, method)
    other = next((block for block in found if not takes_any_length(block.attention)), None)
    why = ""
    if other is not None:
        why = f"needs attention to sequences of any length, and that of '{other.name}' depends on where its tokens are"
    elif len({block.width for block in found}) > 1:
        why = "needs tokens of one length in all blocks, and here blocks differ"
    elif len(found) < least:
        why = f"needs {least} blocks, and there are {len(found)}"
    if why:
        instead = "leave the method out, or give a vision transformer, as --backbone mini-vit"
        raise UserError(cannot(method, f"it {why}", instead))
    return found


def takes_any_length(attention: nn.Module) -> bool:
    """Whether an attention treats its tokens [N, L, D] alike, for any L: that of a plain vision transformer does."""
    if isinstance(attention, nn.MultiheadAttention):
        return attention.batch_first and attention.bias_k is None and not attention.add_zero_attn
    # Windows and grids have parameters or buffers for places, and positions that rotate are passed with the tokens.
    own = [*attention.parameters(recurse=False), *attention.buffers(recurse=False)]
    children = {name for name, _ in attention.named_children()}
    parameters = set(inspect.signature(type(attention).forward).parameters) - {"self"}
    return not own and {"qkv", "proj"} <= children <= _CHILDREN and parameters <= _PARAMETERS


def attentions(network: nn.Module) -> Iterator[nn.Module]:
    """All self-attentions whose queries, keys and values have one weight, in the order they are defined."""
    for module in network.modules():
        if (isinstance(module, nn.MultiheadAttention) and module._qkv_same_embed_dim) or _linear_qkv(module):
            yield module


def qkv(attention: nn.Module) -> tuple[nn.Module, str, str]:
    """Where an attention has the weight [3D, D], whose rows make queries, keys and values, and its bias [3D].

    Returns:
        Their owner, and the names of the weight and of the bias, which may be None.
    """
    name = _linear_qkv(attention)
    return (attention.get_submodule(name), "weight", "bias") if name else (attention, "in_proj_weight", "in_proj_bias")


def tokens_before_patches(network: nn.Module) -> int:
    """How many tokens come before those of the patches, if the network says so as timm's do; else 0."""
    return max(int(getattr(module, "num_prefix_tokens", 0)) for module in network.modules())


def width(attention: nn.Module) -> int:
    """D, the length of the attention's tokens."""
    owner, name, _ = qkv(attention)
    return int(getattr(owner, name).shape[1])


def _linear_qkv(module: nn.Module) -> str:
    """The name of the child that makes queries, keys and values; empty if there is none."""
    children = dict(module.named_children())
    for name in _QKV:
        linear = children.get(name)
        if isinstance(linear, nn.Linear) and linear.out_features == 3 * linear.in_features:
            return name
    return ""


def _is_perceptron(module: nn.Module) -> bool:
    return any(isinstance(layer, nn.Linear) for layer in module.modules())
