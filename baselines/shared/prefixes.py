"""Keys and values that an attention has beside those of its tokens: prefixes (Li and Liang, 2021, arXiv 2101.00190)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from methods.transformers import qkv


class Prefix:
    """Further keys and values of an attention. They come after the projection, and no query belongs to them.

    Args:
        attention: `takes_any_length`. Its tensors keep their names.

    Attributes:
        prompt: keys and values, [N, R, D] each, or [1, R, D] for all images; None for the attention as it was.
    """

    def __init__(self, attention: nn.Module):
        self.attention = attention
        self.prompt: tuple[Tensor, Tensor] | None = None
        # A bound method is copied with the network.
        self._plain = attention.forward
        attention.forward = self._forward

    def _forward(self, x: Tensor, *others: Any, **settings: Any) -> Any:
        if self.prompt is None:
            return self._plain(x, *others, **settings)
        output = attend(self.attention, x, *self.prompt)
        return (output, None) if isinstance(self.attention, nn.MultiheadAttention) else output


def attend(attention: Any, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The output [N, L, D] of an attention for the tokens x [N, L, D], which also attend to R other keys and values.

    Args:
        attention: torch's, or one in timm's form. Nothing is masked.
        x: the tokens.
        keys, values: [N, R, D], or [1, R, D] for all images.
    """
    torchs = isinstance(attention, nn.MultiheadAttention)
    owner, weight, bias = qkv(attention)
    rows = linear(x, getattr(owner, weight), getattr(owner, bias)) if torchs else owner(x)
    q, k, v = (_by_head(attention, each) for each in rows.chunk(3, dim=-1))
    if not torchs:
        q, k = (_child(attention, f"{name}_norm", each) for name, each in (("q", q), ("k", k)))
    more = (_by_head(attention, each.to(k.dtype).expand(x.shape[0], -1, -1)) for each in (keys, values))
    k, v = (torch.cat(pair, 2) for pair in zip(more, (k, v), strict=True))
    dropout = attention.dropout if torchs else attention.attn_drop.p
    output = scaled_dot_product_attention(q, k, v, dropout_p=dropout if attention.training else 0.0)
    output = output.transpose(1, 2).flatten(2)
    if torchs:
        return attention.out_proj(output)
    output = _child(attention, "norm", output)
    if getattr(attention, "gate", None) is not None:
        output = output * attention.gate(x).sigmoid()
    return attention.proj_drop(attention.proj(output))


def _by_head(attention: Any, rows: Tensor) -> Tensor:
    """[N, R, D] -> [N, heads, R, D / heads]."""
    return rows.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)


def _child(attention: nn.Module, name: str, x: Tensor) -> Tensor:
    """What a child makes of x; x itself if there is no such child."""
    child = dict(attention.named_children()).get(name)
    return x if child is None else child(x)
