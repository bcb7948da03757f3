"""Everything in a run folder that can be made again from its manifest and records: tables, figures, the page."""

from __future__ import annotations

from benchmark.files import writing
from benchmark.report.diagram import draw_critical_difference
from benchmark.report.figures import draw_figures
from benchmark.report.latex import to_latex
from benchmark.report.markdown import to_markdown
from benchmark.report.page import write_page
from benchmark.report.tables import budgets_display, display_tables
from benchmark.results.paired_tests import Statistics, run_statistics
from benchmark.results.summary import summary_table
from benchmark.results.tables import collect, statuses
from benchmark.storage.folder import RunFolder
from benchmark.storage.provenance import difference_note


def write_report(run: RunFolder) -> Statistics:
    """Write the CSV files, summary.md, summary.tex, figures/ and report.html.

    Returns:
        What paired tests say about the methods.

    Raises:
        UserError: the folder holds no run.
        StorageError: it cannot be written.
    """
    manifest = run.read_manifest()
    tables = collect(run, manifest)
    accuracy, parameters, compute, tasks = tables.accuracy, tables.parameters, tables.compute, tables.tasks
    summary = summary_table(accuracy, parameters, compute, statuses(manifest), len(tasks))
    statistics = run_statistics(manifest, accuracy)
    budgets = budgets_display(manifest)
    for name, frame in (
        ("accuracy", accuracy),
        ("summary", summary),
        ("parameters", parameters),
        ("compute", compute),
        ("tasks", tasks),
        ("ranks", statistics.ranks),
        ("statistics", statistics.pairs),
    ):
        run.write_csv(name, frame)
    displayed = display_tables(summary, parameters, compute, statistics, budgets)
    note = difference_note(manifest)
    run.write_text("summary.md", to_markdown(displayed, statistics) + (f"\n{note}\n" if note else ""))
    run.write_text("summary.tex", to_latex(displayed, statistics) + (f"\n% {note}\n" if note else ""))
    with writing(run.path):
        draw_figures(accuracy, summary, compute, tasks, run.path / "figures")
        draw_critical_difference(statistics, run.path / "figures")
    write_page(
        run.path,
        title=f"{manifest['stream']['spec']} on {manifest['backbone']['spec']}",
        accuracy=accuracy,
        summary=summary,
        parameters=parameters,
        compute=compute,
        tasks=tasks,
        statistics=statistics,
        budgets=budgets,
        manifest=manifest,
    )
    return statistics
