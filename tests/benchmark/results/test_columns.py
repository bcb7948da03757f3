"""A column is one record: the CSV files, tables, page and results/README.md follow from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from benchmark.report.table import WRITERS
from benchmark.results.columns import (
    CLASSES,
    COLUMNS,
    EFFICIENCY,
    EPOCHS,
    INFERENCE,
    PAIRS,
    RANKS,
    REPRODUCTION,
    columns_of,
    names_of,
    shown_in,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("code_tables")


def test_the_readme_has_the_columns_as_they_are(script: ModuleType) -> None:
    text = script.README.read_text(encoding="utf-8")
    csvs = ("summary", "parameters", "compute", "classes", "epochs", "inference", "efficiency", "ranks", "reproduction")
    for csv in csvs:
        assert f"<!-- columns of {csv}.csv, by scripts/code_tables.py -->\n| column | meaning | better |\n" in text
    assert script.filled(text) == text, "run python scripts/code_tables.py"


def test_what_the_readme_had_before_is_replaced(script: ModuleType) -> None:
    old = "a\n<!-- columns of ranks.csv, by scripts/code_tables.py -->\n| old |\n<!-- end of the columns -->\nb\n"
    assert "old" not in script.filled(old)
    assert "| `mean_rank` | mean over blocks" in script.filled(old)
    assert script.filled(script.filled(old)) == script.filled(old)


def test_every_column_says_what_it_is_and_what_is_shown_can_be_written() -> None:
    for column in (*COLUMNS, *RANKS, *PAIRS, *CLASSES, *EPOCHS, *INFERENCE, *EFFICIENCY, *REPRODUCTION):
        assert column.meaning
        assert "|" not in column.meaning, "it would end a cell of the table in the README"
        if column.headers or column.header_over_orders:
            assert column.form in WRITERS
    for csv in ("summary", "parameters", "compute", "classes", "inference", "ranks", "statistics", "backbones"):
        assert len(set(names_of(csv))) == len(names_of(csv)) > 0


def test_a_later_column_stands_behind_all_that_came_before() -> None:
    added = [column.added for column in columns_of("summary")]
    assert added == sorted(added)
    names = [column.name for column in shown_in("summary")]
    assert names.index("stored_bytes") < names.index("normalized_compute"), "tables show it in its place"


NEW = """
import numpy as np
from benchmark.results import columns

new = columns.AccuracyMetric(
    name="intransigence",
    csv=("summary",),
    formula=lambda R: float(1 - np.diag(R).mean()),
    meaning="1 less the mean over j of R[j, j]",
    headers={"summary": "Intransigence (pp)"},
    form="percent",
    better="lower",
    added=99,
    interval=True,
)
columns.COLUMNS = (*columns.COLUMNS[:7], new, *columns.COLUMNS[7:])

import sys
from pathlib import Path

import pandas as pd

from benchmark.report.page import write_page
from benchmark.report.tables import summary_display
from benchmark.results.run import results_of
from benchmark.results.schema import COMPUTE_COLUMNS, PARAMETER_COLUMNS, TASK_COLUMNS
from benchmark.storage.manifest import Manifest

manifest = Manifest(
    settings={}, seeds=[0, 1], orders=[[1, 2]], stream={"spec": "s"}, backbone={"spec": "b"},
    tasks=[dict.fromkeys(TASK_COLUMNS, 0)] * 2, reference="all", bounds=[], processes=[{}],
    cells=[{"method": "clr", "seed": seed, "order": 0, "status": "succeeded", "cause": None} for seed in (0, 1)],
)
rows = [("clr", seed, 0, i, j, 0.5 + seed / 4) for seed in (0, 1) for i in (1, 2) for j in range(1, i + 1)]
accuracy = pd.DataFrame(rows, columns=["method", "seed", "order", "learned", "task", "accuracy"])
tables = (PARAMETER_COLUMNS, COMPUTE_COLUMNS)
costs = [pd.DataFrame([dict.fromkeys(names, 1.0) | {"method": "clr"}]) for names in tables]
results = results_of(Path(sys.argv[1]), manifest, accuracy, *costs)
print(list(results.summary)[-2:], results.summary["intransigence"].tolist())
table = summary_display(results)
place = table.headers.index("Intransigence (pp)")
print(table.rows[0][place].text, "|", table.headers[place + 1])
print("1 less the mean over j of R[j, j]. Lower is better." in write_page(results).read_text())
"""


def test_a_new_metric_is_one_entry(tmp_path: Path) -> None:
    """Accuracies of 0.5 and 0.75 leave 0.5 and 0.25, in the mean 0.375."""
    command = [sys.executable, "-W", "error", "-c", NEW, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['intransigence', 'intransigence_ci95'] [0.375]",
        "37.5 (25.0 to 50.0) | Forgetting (pp)",
        "True",
    ]


def test_no_table_has_two_columns_of_one_name() -> None:
    tables = {table for column in (*COLUMNS, *RANKS, *INFERENCE, *EFFICIENCY) for table in column.headers}
    assert len(tables) >= 7
    for table in tables:
        for over_orders in (False, True):
            headers = [column.header(table, over_orders) for column in shown_in(table, over_orders)]
            assert len(set(headers)) == len(headers), table
