"""GDumb: a balanced memory, and a network trained on it alone."""

from __future__ import annotations

from baselines.joint import Joint
from baselines.shared.finetuning import ALL_SCENARIOS, OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY, Memory
from methods import MemorySize, methods


@methods.register("gdumb")
class GDumb(Joint):
    """GDumb (Prabhu et al., 2020, European Conference on Computer Vision).

    After each task, the network is trained from the backbone as given, in epochs over the memory alone: L = CE(batch),
    among all classes so far, or among those of the image's own task where the task is known. The memory is filled
    greedily with as many images of each class as possible: new classes make room for themselves among the largest ones,
    and the numbers of all classes differ by one at most. Which images of a class enter is drawn at random. Classes of
    different tasks are different ones here, in the scenario "domain" too.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.

    Differs from the paper:
        start: the backbone as given, pretrained if that is. The authors' code starts from random weights, or from
            weights that were trained on some of the stream's classes.
        images of a class: drawn among all images of the task, which come at once. The authors' code keeps the first
            ones of each class.
        augmentation: none but --augment. The authors' code crops images, mirrors those that are not digits, and mixes
            pairs of them (cutmix), but not on MNIST.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    bound = False

    def __init__(self, memory: MemorySize = DEFAULT_MEMORY, bn: OnePassBN = "shared"):
        super().__init__(bn)
        self.memory = memory
        self.past = Memory(self, memory, balanced=True)
