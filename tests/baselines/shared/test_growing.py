"""Tensors of which each task adds its own."""

import torch

from baselines.shared.growing import Growing, grow


def test_a_network_gets_the_tensors_of_later_tasks(vit_network):
    vit_network.backbone.add_module("prompts", Growing(2, torch.zeros(3)))
    grown = vit_network.backbone.prompts
    assert [tuple(each.shape) for each in grown.each()] == [(3,)] * 2
    # As files list them: in the order of letters.
    numbers = sorted(map(str, range(1, 12)))
    values = {f"backbone.prompts.{number}": torch.full((3,), float(number)) for number in numbers}
    values["heads.shared.weight"] = torch.zeros(2, 8)
    grow(vit_network, values)
    vit_network.backbone.load_state_dict(
        {name.removeprefix("backbone."): value for name, value in values.items() if "prompts" in name}, strict=False
    )
    assert torch.stack(grown.each())[:, 0].tolist() == list(range(1, 12))
    assert grown.newest()[0] == 11
    assert [each.requires_grad for each in grown.each()] == [True] * 2 + [False] * 9
