"""Everything in a run folder that can be made again from its manifest and records: tables, figures, the page."""

from __future__ import annotations

from benchmark.report.figures import draw_figures
from benchmark.report.page import write_page
from benchmark.report.tables import summary_table, to_latex, to_markdown
from benchmark.results import RunFolder, collect, statuses


def write_report(run: RunFolder) -> None:
    """Write the CSV files, summary.md, summary.tex, figures/ and report.html.

    Raises:
        UserError: the folder holds no run.
    """
    manifest = run.read_manifest()
    tables = collect(run, manifest)
    accuracy, parameters, compute, tasks = tables.accuracy, tables.parameters, tables.compute, tables.tasks
    summary = summary_table(accuracy, parameters, compute, statuses(manifest), len(tasks))
    orders = len(manifest["orders"])
    for name, frame in (
        ("accuracy", accuracy),
        ("summary", summary),
        ("parameters", parameters),
        ("compute", compute),
        ("tasks", tasks),
    ):
        run.write_csv(name, frame)
    run.write_text("summary.md", to_markdown(summary, parameters, compute, orders))
    run.write_text("summary.tex", to_latex(summary, parameters, compute, orders))
    draw_figures(accuracy, summary, parameters, compute, tasks, run.path / "figures")
    write_page(
        run.path,
        title=f"{manifest['stream']['spec']} on {manifest['backbone']['spec']}",
        summary=summary,
        parameters=parameters,
        compute=compute,
        tasks=tasks,
        manifest=manifest,
    )
