"""Attention with further keys and values, in torch's and in timm's form."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.functional import layer_norm

from baselines.shared.prefixes import Prefix, attend
from baselines.shared.tokens import with_tokens


def by_hand(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """softmax(q k^T / sqrt(d)) v of tokens [N, L, D], head by head."""
    size = q.shape[-1] // heads
    parts = [slice(head * size, (head + 1) * size) for head in range(heads)]
    return torch.cat([(q[..., p] @ k[..., p].mT / size**0.5).softmax(-1) @ v[..., p] for p in parts], -1)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_torchs_attention_without_a_prompt_is_as_it_was():
    torch.manual_seed(0)
    attention, x = nn.MultiheadAttention(8, 2, batch_first=True).double(), drawn(3, 5, 8)
    names = [name for name, _ in attention.named_parameters()]
    before, weights = attention(x, x, x, need_weights=True)
    prefix = Prefix(attention)
    assert torch.equal(attention(x, x, x, need_weights=True)[0], before)
    assert torch.equal(attention(x, x, x, need_weights=True)[1], weights)
    assert [name for name, _ in attention.named_parameters()] == names
    prefix.prompt = drawn(3, 2, 8), drawn(3, 2, 8)
    assert not torch.allclose(attention(x, x, x, need_weights=False)[0], before)


def test_a_copied_attention_has_its_own_prompt():
    attention = nn.MultiheadAttention(8, 2, batch_first=True).double()
    holder = nn.ModuleDict({"attention": attention})
    holder.prefix = prefix = Prefix(attention)
    copied, x = copy.deepcopy(holder), drawn(1, 3, 8)
    nn.init.zeros_(copied["attention"].out_proj.weight)
    assert copied.prefix is not prefix
    prefix.prompt = drawn(1, 2, 8), drawn(1, 2, 8)
    assert copied.prefix.prompt is None
    copied.prefix.prompt = prefix.prompt
    assert torch.equal(copied["attention"](x, x, x, need_weights=False)[0], torch.zeros_like(x)), "its own weights"
    assert attention(x, x, x, need_weights=False)[0].any()


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}, {"scale_norm": True}, {"gated": True}, {"qkv_bias": True}])
def test_timms_attention(options):
    attention = pytest.importorskip("timm.layers").Attention
    torch.manual_seed(0)
    module = attention(8, num_heads=2, norm_layer=nn.LayerNorm, **options).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    x, keys, values = drawn(3, 5, 8), drawn(3, 2, 8), drawn(1, 2, 8)
    Prefix(module).prompt = keys, values

    w = dict(module.named_parameters())
    q, k, v = (x @ w["qkv.weight"].T + w.get("qkv.bias", 0)).split(8, -1)
    if "qk_norm" in options:
        normed = []
        for name, rows in (("q", q), ("k", k)):
            own = layer_norm(rows.unflatten(-1, (2, 4)), (4,), w[f"{name}_norm.weight"], w[f"{name}_norm.bias"])
            normed.append(own.flatten(-2))
        q, k = normed
    expected = by_hand(q, torch.cat([keys, k], 1), torch.cat([values.expand(3, -1, -1), v], 1), 2)
    if "scale_norm" in options:
        expected = layer_norm(expected, (8,), w["norm.weight"], w["norm.bias"])
    if "gated" in options:
        expected = expected / (1 + torch.exp(-(x @ w["gate.weight"].T)))
    torch.testing.assert_close(module(x), expected @ w["proj.weight"].T + w["proj.bias"], rtol=1e-10, atol=1e-12)


class _Helped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(3, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return attend(self.attention, with_tokens(x, self.tokens), self.tokens[None], self.tokens[None])


def test_a_program_takes_any_number_of_images() -> None:
    helped = _Helped().eval()
    sizes = ({0: Dim("images", min=1)},)
    program = torch.export.export(helped, (torch.zeros(2, 4, 8),), dynamic_shapes=sizes).module()
    for count in (1, 5):
        x = torch.randn(count, 4, 8)
        torch.testing.assert_close(program(x), helped(x))
