"""How many cells share a GPU, unless the user says it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.learning.memory import training_memory
from benchmark.learning.operations import training_operations_per_image
from benchmark.machine.gpu_share import CONTEXT
from benchmark.machine.gpus import Gpu
from benchmark.machine.limits import usable_cores
from benchmark.planning.preparation import Prepared

# With more cells on a GPU, each would wait for the others.
_MOST = 4

# A step with fewer floating-point operations does not keep a GPU busy: it needs some hundred kernels, whose launches
# take about 2 ms, in which a GPU does as many operations at 20 TFLOP/s.
_SMALL_STEP = 40e9

# The part of a GPU's memory that is counted on; estimates are too low for some methods.
_USED = 0.8


def cells_per_gpu(prepared: Prepared, gpus: Sequence[Gpu]) -> int:
    """Return how many cells share a GPU: 1 if one keeps it busy, otherwise what memory and processors allow.

    Args:
        gpus: the GPUs, at least one.
    """
    network, stream, batch = prepared.backbone, prepared.stream, prepared.settings.batch_size
    classes, size = stream.most_classes, stream.tasks[0].image_size
    if batch * training_operations_per_image(network, classes, size) > _SMALL_STEP:
        return 1
    images = max(task.train.images.nbytes for task in stream.tasks)
    # Twice, because replay passes a second batch through the network.
    need = CONTEXT + 2 * training_memory(network, classes, size, batch) + images
    memory = min(gpu.memory for gpu in gpus)
    # Each cell keeps a processor busy with launches.
    return max(1, min(_MOST, int(_USED * memory / need), usable_cores() // len(gpus)))
