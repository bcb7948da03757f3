"""The figures of a run, as SVG and PNG.

Layout is in inches and computed here, because a figure of 25 methods needs another size than a figure of three, and
because Matplotlib's own layout engines and tight boxes draw everything twice. Every function takes accuracies as
fractions and draws percent.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.report.curves import draw_curves
from benchmark.report.fonts import drawing
from benchmark.report.layout import save_figure
from benchmark.report.matrices import draw_matrices
from benchmark.report.scatter import COMPUTE, STORAGE, draw_scatter
from benchmark.report.stored import draw_stored
from benchmark.results import metrics
from benchmark.results.blocks import factors_of
from benchmark.results.matrices import drawn_runs, repetitions_of
from benchmark.results.questions import scenario_suffix
from benchmark.results.run import Results
from methods.names import printable

#: Drawn in place of the first task's accuracy if there are several orders: each order has another first task.
FIRST_TASK_DROP = "What the first task of each order has lost since it was learned (pp)"

NAMES = (
    "first_task_accuracy",
    "average_accuracy",
    "accuracy_vs_parameters",
    "accuracy_vs_compute",
    "accuracy_matrix",
    "stored",
)


def draw_figures(results: Results, folder: Path) -> list[Path]:
    """Draw every figure of NAMES into `folder` as .svg and .png; the same results give the same bytes.

    Args:
        results: of the run.
        folder: made if it does not exist.

    Returns:
        The files written.
    """
    folder.mkdir(exist_ok=True)
    scenario = scenario_suffix(results.manifest)
    names = [printable(str(name)) for name in results.tasks["task_name"]]
    block = factors_of(repetitions_of(results.matrices))[0]
    first, title = metrics.first_task_curve, f"Accuracy on the first task, {names[0]} (%)"
    if results.over_orders:
        # Each order has another task at each place, so that only the places have names.
        names = [f"task {place}" for place in range(1, len(names) + 1)]
        first, title = metrics.first_task_drop_curve, FIRST_TASK_DROP
    title += scenario
    with drawing([*results.manifest.labels, *names]):
        runs = drawn_runs(results.matrices)
        average = f"Average accuracy on the tasks learned so far (%){scenario}"
        figures = (
            draw_curves(runs, first, title, block),
            draw_curves(runs, metrics.average_accuracy_curve, average, block, results.chance.curves),
            draw_scatter(results, "stored_percent", STORAGE, scenario),
            draw_scatter(results, "normalized_compute", COMPUTE, scenario),
            draw_matrices(runs, names, scenario),
            draw_stored(results),
        )
        return [path for name, figure in zip(NAMES, figures, strict=True) for path in save_figure(figure, folder, name)]
