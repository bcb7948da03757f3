"""All files of a run folder that can be made again from its manifest and records: tables, figures, the page."""

from __future__ import annotations

from benchmark.files import writing
from benchmark.report.diagram import draw_critical_difference
from benchmark.report.figures import draw_figures
from benchmark.report.latex import to_latex
from benchmark.report.markdown import to_markdown
from benchmark.report.oracle_gap import draw_oracle_gap
from benchmark.report.page import write_page
from benchmark.report.reproduction import reproduction_display
from benchmark.report.tables import display_tables
from benchmark.results.questions import scenario_suffix
from benchmark.results.run import Results
from benchmark.storage.folder import RunFolder
from benchmark.storage.processes import difference_note


def write_report(results: Results) -> None:
    """Write the CSV files, summary.md, summary.tex, figures/ and report.html.

    Raises:
        StorageError: they cannot be written.
    """
    run = RunFolder(results.path)
    # Those of a kept run are where its numbers come from.
    if not results.manifest.kept:
        for name, frame in results.tables.items():
            run.write_csv(name, frame)
    write_shown(results)
    write_page(results)


def write_shown(results: Results) -> None:
    """Write summary.md, summary.tex and figures/.

    Raises:
        StorageError: they cannot be written.
    """
    run, statistics = RunFolder(results.path), results.statistics
    reproduction = reproduction_display(results)
    displayed = (*display_tables(results), *([reproduction] if reproduction else []))
    note = difference_note(results.manifest)
    run.write_text("summary.md", to_markdown(displayed, statistics) + (f"\n{note}\n" if note else ""))
    run.write_text("summary.tex", to_latex(displayed, statistics) + (f"\n% {note}\n" if note else ""))
    with writing(run.path):
        draw_figures(results, run.path / "figures")
        draw_critical_difference(statistics, run.path / "figures", scenario_suffix(results.manifest))
        draw_oracle_gap(results, run.path / "figures")
