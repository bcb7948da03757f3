import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from benchmark.report.page import write_page
from benchmark.results.columns import TIMES
from benchmark.storage.manifest import Manifest

METHODS = ["clr", "<b>&\"sgd'", "</script><b>er"]
VOID = {"meta", "link", "img"}
READ = {"td", "th", "h1", "h2", "dt", "dd", "p"}


class Page(HTMLParser):
    """What tests ask of a page; raises AssertionError for a tag that is not closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.elements = []  # (tag, attributes)
        self.texts = []  # of the elements that a reader reads one by one
        self.scripts = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in READ:
            self.texts.append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
        elif READ & set(self.open):
            self.texts[-1] = " ".join(f"{self.texts[-1]} {data}".split())

    def values(self, attribute):
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


@pytest.fixture
def run(make_run):
    return make_run(METHODS, ["flowers", "cars & <vans>"], seeds=2, failed=METHODS[2])


def written(folder, run, **manifest):
    """The page, with other entries of the manifest."""
    text = write_page(replace(run, path=folder, manifest=Manifest(run.manifest | manifest))).read_text(encoding="utf-8")
    return text, Page(text)


def test_everything_is_there_as_text(tmp_path, run):
    text, page = written(tmp_path, run, backbone={"spec": "A & <net>"})
    assert text.startswith("<!DOCTYPE html>\n")
    assert {
        *METHODS,
        "folder:pictures on A & <net>",
        "2. cars & <vans>",
        "folder:pictures",
        "2 seeds",
        "4 of 6",
    } <= set(page.texts)
    assert {
        "epochs",
        "8",
        "flip, crop",
        "python -m benchmark run --methods 'clr,<b>&\"sgd'\"'\"',</script><b>er'",
    } <= set(page.texts)
    assert not {"b", "vans", "net"} & {tag for tag, _ in page.elements}
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_sections_are_listed_and_linked(tmp_path, run):
    _, page = written(tmp_path, run)
    keys = ["summary", "unfinished", "figures", "ranks", "cost", "methods", "tasks", "settings", "glossary"]
    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == keys
    assert [link for link in page.values("href") if link.startswith("#")] == [f"#{key}" for key in keys]
    assert len(page.values("id")) == len(set(page.values("id")))


def test_what_failed_is_told_with_its_cause(tmp_path, run):
    _, page = written(tmp_path, run)
    row = page.texts.index("Cause") + 1
    assert page.texts[row : row + 3] == [METHODS[2], "0", "failed"]
    assert page.texts[row + 3].startswith("ValueError: the loss is <nan> & more Traceback")
    assert "Order" not in page.texts

    orders = [[1, 2], [2, 1]]
    cells = [run.manifest.cells[-1] | {"order": 1, "traceback": ""}]
    _, page = written(tmp_path, run, orders=orders, cells=cells)
    row = page.texts.index("Cause") + 1
    assert page.texts[row:][:5] == [METHODS[2], "1", "1", "failed", "ValueError: the loss is <nan> & more"]
    assert "pre" not in {tag for tag, _ in page.elements}
    cells = [{**run.manifest.cells[0], "seed": k, "order": k} for k in (0, 1)]
    _, page = written(tmp_path, run, orders=orders, cells=cells)
    assert "2, each a seed of its own in an order of its own" in page.texts


def test_what_was_not_begun_is_told_too(tmp_path, run):
    cells = [{"method": "clr", "seed": 0, "order": 0, "status": "pending", "cause": None}]
    _, page = written(tmp_path, run, cells=cells)
    row = page.texts.index("Cause") + 1
    assert page.texts[row:][:4] == ["clr", "0", "pending", ""]


def test_ranks_are_told_where_methods_can_be_compared(tmp_path, make_run):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "critical_difference.svg").write_text("<svg/>")
    diagram = "Mean ranks. Two methods that no bar joins differ significantly."
    # With one pair and 6 seeds, p can be as low as 2/2^6 = 0.03; with 5 it cannot, and the diagram is from before.
    for seeds, shown in ((6, True), (5, False)):
        _, page = written(tmp_path, make_run(["clr", "er"], ["flowers", "cars"], seeds=seeds))
        assert {"Mean rank", "p of the difference"} <= set(page.texts)
        assert (diagram in page.values("alt")) == shown

    _, page = written(tmp_path, make_run(["clr", "er"], ["flowers", "cars"]))
    assert "Mean rank" not in page.texts
    assert any("at least 6 seeds are needed" in text for text in page.texts)

    _, page = written(tmp_path, make_run(["clr"], ["flowers", "cars"]))
    assert "Ranks" not in page.texts


def test_equal_budgets_are_told(tmp_path, run):
    settings = {"equal_memory": None, "equal_compute": "sgd", "epochs": 8}
    budgets = {"clr": {"memory_bytes": None, "epochs": 7, "compute_ratio": 1.01}}
    _, page = written(tmp_path, run, settings=settings, budgets=budgets)
    said = "Each method trains for the epochs that cost most nearly what 8 of sgd do, in operations."
    assert said in page.texts
    assert {"Epochs", f"Training ({TIMES} sgd)", "1.010"} <= set(page.texts)
    assert "clr.epochs" not in page.texts


def test_without_failures_there_is_no_such_section(tmp_path, make_run):
    _, page = written(tmp_path, make_run(["clr"], ["flowers"]))
    assert "What did not finish" not in page.texts
    assert "1 seed" in page.texts


def test_the_data_survives_any_label(tmp_path, run):
    _, page = written(tmp_path, run)
    data, _ = page.scripts
    assert [method["label"] for method in json.loads(data)["methods"]] == METHODS
    assert not set("<>&") & set(data)


def test_nothing_is_loaded_and_no_other_script_can_run(tmp_path, run):
    text, page = written(tmp_path, run)
    assert not [value for name in ("src", "href") for value in page.values(name) if re.match("https?:|//", value)]
    assert not re.search(r"@import|url\((?!#)", text)
    (policy,) = (attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    _, script = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_figures_are_shown_where_no_script_runs(tmp_path, run):
    (tmp_path / "figures").mkdir()
    for name in ("average_accuracy.svg", "average_accuracy.png", "accuracy_matrix.png"):
        (tmp_path / "figures" / name).write_bytes(b"<svg/>")
    _, page = written(tmp_path, run)
    (image,) = (attributes for tag, attributes in page.elements if tag == "img")
    assert image["src"] == "data:image/svg+xml;base64,PHN2Zy8+"
    assert image["alt"].startswith("Average accuracy on the tasks learned so far (%). After each task learned.")
    linked = [link for link in page.values("href") if link.startswith("figures/")]
    assert linked == ["figures/average_accuracy.svg", "figures/average_accuracy.png", "figures/accuracy_matrix.png"]


def test_every_table_of_numbers_is_linked(tmp_path, run):
    _, page = written(tmp_path, run)
    tables = ("summary", "accuracy", "parameters", "compute", "tasks", "ranks", "statistics")
    assert {f"{name}.csv" for name in tables} | {"manifest.json"} <= set(page.values("href"))


def test_cells_carry_the_numbers_behind_their_text(tmp_path, run):
    parameters = run.parameters.assign(state_bytes=[44_700_000, 9_999])
    _, page = written(tmp_path, replace(run, parameters=parameters))
    assert {"44.7 MB", "10.0 kB"} <= set(page.texts)
    assert {"44700000.0", "9999.0", "2560"} <= set(page.values("data-value"))


def test_bold_says_what_it_means(tmp_path, make_run, with_accuracy):
    accuracies = [0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
    run = with_accuracy(make_run(["clr", "er"], ["flowers"], seeds=6), accuracy=accuracies)
    _, page = written(tmp_path, run)
    ranks = [text for text in page.texts if text.endswith(" (among the best)")][-1]
    assert ranks == "82.5 (among the best)"
    assert sum("Bold: the highest average accuracy" in text for text in page.texts) == 2


def test_settings_leave_out_what_is_a_table(tmp_path, run):
    _, page = written(tmp_path, run, runs={"a": {"settings": {"epochs": 3}, "tasks": [{"task": 1}]}})
    assert "a.settings.epochs" in page.texts
    assert not {"cells", "a.tasks"} & set(page.texts)
    assert page.texts[page.texts.index("lr") + 1] == "\N{EN DASH}"


def test_it_says_where_it_was_learned(tmp_path, run):
    first = {"device": "cuda", "tf32": False, "workers": 4, "gpus_per_cell": 0.25, "tasks_left": 4}
    second = first | {"workers": 1, "gpus_per_cell": 1.0, "tasks_left": 2}
    # It learned nothing.
    third = first | {"device": "cpu", "gpus_per_cell": None, "tasks_left": 0}
    text, _ = written(tmp_path, run, processes=[first, second, third])
    (table,) = re.findall(r">Where it was learned</caption>(.*?)</table>", text, re.DOTALL)
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table)
    assert rows == [("device", "cuda"), ("tf32", "False"), ("workers", "4, 1"), ("gpus_per_cell", "0.25, 1.0")]
    text, _ = written(tmp_path, run, processes=[third | {"tasks_left": 4}])
    (table,) = re.findall(r">Where it was learned</caption>(.*?)</table>", text, re.DOTALL)
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table)
    assert rows == [("device", "cpu"), ("tf32", "False"), ("workers", "4")]
    # An older version did not write it.
    text, _ = written(tmp_path, run)
    assert "Where it was learned" not in text


def test_headers_say_what_their_columns_are(tmp_path, run):
    _, page = written(tmp_path, run)
    titles = page.values("title")
    assert "mean over j < T of R[T, j] - R[j, j]. Higher is better." in titles
    assert "the stored samples within memory_bytes." in titles


def test_a_band_means_the_same_as_in_the_figures(tmp_path, run):
    text, _ = written(tmp_path, run)
    assert text.count("from 5 on, a band reaches from the lowest to the highest.") == 2


def test_recipes_and_options_are_a_table_and_not_settings(tmp_path, run):
    clr = {"options": {"penalty": 1e-05}, "recipe": {"optimizer": "adam", "weight_decay": 0.0}}
    text, page = written(tmp_path, run, methods={"clr": clr, "ncm": {"options": {}, "recipe": {}}})
    (table,) = re.findall(r'<table class="numbers" id="recipes-table".*?</table>', text, re.DOTALL)
    cells = re.findall(r"<(?:td|th)[^>]*>\s*(.*?)\s*</(?:td|th)>", table, re.DOTALL)
    assert [re.sub(r"<.*?>", "", cell).strip() for cell in cells] == [
        *("Method", "Optimizer", "Weight decay", "Options"),
        *("clr", "adam", "0", "penalty=1e-05"),
        *("ncm", "\N{EN DASH}", "\N{EN DASH}", "\N{EN DASH}"),
    ]
    assert not [each for each in page.texts if each.startswith("clr.recipe")]
    # An older version did not write them.
    assert "recipes-table" not in written(tmp_path, run)[0]


def test_the_title_has_the_name_and_the_date_of_the_run(tmp_path, run):
    folder = tmp_path / "my-<run>"
    folder.mkdir()
    text, page = written(folder, run, started="2026-11-29T22:11:50+00:00", finished="2026-11-30T22:56:58+00:00")
    assert "my-<run>, 2026-11-30" in page.texts
    assert "<title>my-&lt;run&gt;, 2026-11-30: folder:pictures on resnet18</title>" in text
    # It goes on.
    assert "my-<run>, 2026-11-29" in written(folder, run, started="2026-11-29T22:11:50+00:00", finished=None)[1].texts


def test_tables_of_methods_are_sorted_by_accuracy_and_say_so(tmp_path, make_run, with_accuracy):
    run = with_accuracy(make_run(["clr", "er", "sgd"], ["flowers"]), accuracy=[0.4, 0.8, 0.6])
    text, page = written(tmp_path, run)
    assert page.texts.count("Sorted by average accuracy, the highest first.") == 4
    for table in ("summary", "storage", "compute", "efficiency"):
        (body,) = re.findall(rf'id="{table}-table".*?<tbody>(.*?)</tbody>', text, re.DOTALL)
        assert re.findall(r'<th scope="row">(.*?)</th>', body) == ["er", "sgd", "clr"]
        assert re.findall(r'data-place="(.*?)"', body) == ["1", "2", "0"]
    signs = re.findall(r'<th scope="col"[^>]* aria-sort="descending">(.*?)</th>', text)
    assert signs == ["Average accuracy (%)"] * 2


def test_every_column_is_explained_and_no_two_have_one_name(tmp_path, run):
    text, _ = written(tmp_path, run)
    tables = re.findall(r'<table class="numbers".*?</table>', text, re.DOTALL)
    assert len(tables) >= 5
    for table in tables:
        headers = re.findall(r"<th scope=\"col\"(.*?)>(.*?)</th>", table)
        assert len({header for _, header in headers}) == len(headers)
        assert all("title=" in attributes for attributes, _ in headers), headers
    # On a page, nobody can look below, or into docs/.
    assert not re.findall(r'title="[^"]*(?:docs/|\(below\)|see below)', text)
    assert text.count("What the columns mean") == len(tables)


def test_a_line_for_each_known_method_with_its_paper(tmp_path, make_run):
    _, page = written(tmp_path, make_run(["ewc:strength=500", "sgd", "mine"], ["flowers"]))
    place = page.texts.index("Description and paper") + 1
    assert page.texts[place : place + 3] == [
        "ewc:strength=500",
        "elastic weight consolidation, Fisher and anchor kept for each task",
        "Elastic weight consolidation (Kirkpatrick et al., 2017, arXiv 1612.00796).",
    ]
    assert page.texts[place + 3] == "sgd"
    assert page.texts[place + 6] != "mine"
    assert "Description and paper" not in written(tmp_path, make_run(["mine"], ["flowers"]))[1].texts


def test_there_is_a_glossary_and_there_are_tables_to_paste(tmp_path, run):
    _, page = written(tmp_path, run)
    assert {"chance level", "task oracle", "R[i, j], T", "backbone"} <= set(page.texts)
    assert {"summary.md", "summary.tex"} <= set(page.values("href"))


def test_losses_have_a_chart_where_they_are_kept(tmp_path, run):
    assert "loss" not in written(tmp_path, run)[1].values("id")
    losses = {("clr", 0, 0): [[2.0, 1.0], [1.5]], ("clr", 1, 0): [[3.0, 2.0], [0.5]]}
    _, page = written(tmp_path, replace(run, losses=losses))
    assert "loss" in page.values("id")
    clr, other, _ = json.loads(page.scripts[0])["methods"]
    assert clr["losses"] == [[2.5, 1.5], [1.0]]
    assert other["losses"] is None
