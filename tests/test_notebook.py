"""The example notebook runs from top to bottom, and is stored without its output."""

from __future__ import annotations

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]


def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its kernel is another process; with this it finds the project from any folder.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "strip its outputs"
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = {cell.id: cell.outputs for cell in code}
    *progress, summary = [output for output in shown["run"] if "data" in output]
    assert "<td>er:memory=100</td>" in summary.data["text/html"]
    texts = [output.data["text/plain"] for output in progress]
    assert [text for text in texts if not text.startswith("task ")] == ["", ""], "the bars go when all is done"
    assert "image/png" in shown["figure"][-1].data
    assert "still-stem" in shown["register"][-1].data["text/html"]
    assert "er:memory=100" in shown["load"][-1].data["text/plain"]
    assert (tmp_path / "results" / "notebook" / "report.html").is_file()
