"""The page as a reader uses it, in a real browser without a window: Debian's chromium and chromium-driver."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.images.thumbnails import thumbnail
from benchmark.report.page import write_page
from benchmark.results.answers import Marked
from benchmark.results.run import results_of
from benchmark.storage.answers import Answers
from benchmark.storage.labels import TaskLabels
from benchmark.storage.thumbnails import write_thumbnails

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH  # noqa: E402
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
NASTY = "</script><b onclick='x()'>&amp;:rank=2"
METHODS = ["clr", "er", "joint", NASTY, "sgd"]
TASKS = ["flowers", "cars & <vans>", "birds"]

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
        "window-size=1280,900",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With the driver's path, Selenium does not look for one to download.
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)) as driver:
        yield driver


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(METHODS, TASKS, seeds=3, failed="er")


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "figures").mkdir()
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="50"/>'
    (folder / "figures" / "average_accuracy.svg").write_text(svg)
    return write_page(replace(run, path=folder))


class Reader:
    """Somebody with a browser."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path: Path):
        self.driver.get(path.as_uri())
        self.settle()

    def settle(self):
        """What follows a change of width is drawn before the second next frame."""
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(arguments[0])))"
        self.driver.execute_async_script(frames)

    def emulate(self, command, **options):
        self.driver.execute_cdp_cmd(f"Emulation.{command}", options)

    def prefers(self, scheme, media=""):
        self.emulate("setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.settle()

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def button(self, selector, text):
        (found,) = (element for element in self.all(f"{selector} button") if element.text.strip("\u00a0▲▼ ") == text)
        return found

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def hover(self, element):
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        ActionChains(self.driver).move_to_element(element).perform()

    def style(self, selector, name):
        return self.one(selector).value_of_css_property(name)

    @property
    def focused(self):
        return self.driver.switch_to.active_element

    @property
    def tip(self):
        return self.one(".tip").text.splitlines()


@pytest.fixture
def reader(chromium, report):
    """On the page, at a desk. Afterwards, there were no errors, and nothing but files was asked for."""
    reader = Reader(chromium)
    chromium.get_log("performance")
    reader.open(report)
    yield reader
    for command in ("clearDeviceMetricsOverride", "setEmulatedMedia"):
        reader.emulate(command)
    assert chromium.get_log("browser") == []
    asked = [entry["message"] for entry in chromium.get_log("performance") if "requestWillBeSent" in entry["message"]]
    assert asked
    assert not [message for message in asked if '"url":"http' in message]


def names(reader, table):
    return [row.text for row in reader.all(f"#{table}-table tbody th")]


def curves(reader):
    return [int(mark.get_attribute("data-method")) for mark in reader.all("#average_accuracy .mark")]


def mean(run, method, learned, task):
    rows = run.accuracy.query("method == @method and learned == @learned and task == @task")
    return 100 * rows["accuracy"].mean()


def test_a_click_on_a_header_sorts_one_way_the_other_and_not_at_all(reader, run):
    finished = run.summary.dropna(subset="average_accuracy").sort_values("average_accuracy")["method"].to_list()
    assert names(reader, "summary") == [*finished[::-1], "er"]
    for order, expected in (
        # What has no value comes last, either way. At first, the highest are first.
        ("ascending", [*finished, "er"]),
        (None, METHODS),
        ("descending", [*finished[::-1], "er"]),
    ):
        button = reader.button("#summary-table", "Average accuracy (%)")
        button.click()
        assert button.find_element(By.XPATH, "..").get_attribute("aria-sort") == order
        assert names(reader, "summary") == expected


def test_headers_sort_by_keyboard_too_one_at_a_time(reader):
    reader.button("#storage-table", "State in all").click()
    reader.driver.execute_script("arguments[0].focus()", reader.button("#storage-table", "Method"))
    reader.press(Keys.ENTER)
    assert names(reader, "storage") == sorted(set(METHODS) - {"er"})
    assert len(reader.all("#storage-table [aria-sort]")) == 1


def test_methods_are_chosen(reader):
    assert curves(reader) == [0, 1, 2, 3, 4]
    assert len(reader.all("#accuracy_vs_compute .mark")) == 4
    reader.all(".choice input")[2].click()
    assert curves(reader) == [0, 1, 3, 4]
    assert len(reader.all("#accuracy_vs_compute .mark")) == 3
    assert [b.get_attribute("data-method") for b in reader.all(".matrices button")] == ["0", "1", "3", "4"]

    reader.button(".choice", "None").click()
    assert curves(reader) == []
    assert "No finished method is chosen." in reader.one("#average_accuracy").text
    # The one that did not finish has a curve and no cost.
    reader.all(".choice input")[1].click()
    assert curves(reader) == [1]
    assert "No finished method is chosen." in reader.one("#accuracy_vs_compute").text

    reader.button(".choice", "All").click()
    assert curves(reader) == [0, 1, 2, 3, 4]


def test_a_point_under_the_pointer_is_named(reader, run):
    point = reader.all("#first_task_accuracy [data-method='3'] .point")[1]
    reader.hover(point)
    method, task, value = reader.tip
    assert (method, task) == (NASTY, "after 2. cars & <vans>")
    own = 100 * run.accuracy.query("method == @NASTY and learned == 2 and task == 1")["accuracy"]
    assert value == f"{own.mean():.2f} %, from {own.min():.2f} to {own.max():.2f}"
    faded = {mark.get_attribute("data-method") for mark in reader.all(".mark.faded")}
    assert faded == {"0", "1", "2", "4"}

    ActionChains(reader.driver).move_to_element(reader.one("h2")).perform()
    assert not reader.one(".tip").is_displayed()
    assert reader.all(".mark.faded") == []


def test_arrow_keys_go_from_point_to_point(reader):
    first = reader.one("#average_accuracy .point[tabindex='0']")
    reader.driver.execute_script("arguments[0].focus()", first)
    assert reader.focused.get_attribute("aria-label").startswith("clr, 1 of 3 tasks learned: ")
    reader.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert reader.focused.get_attribute("aria-label").startswith("clr, 3 of 3 tasks learned: ")
    assert reader.tip[:2] == ["clr", "after 3. birds"]
    # One stop for the tab key.
    assert len(reader.all("#average_accuracy .point[tabindex='0']")) == 1

    heights = {}
    for key in (Keys.ARROW_UP,) * 5 + (Keys.ARROW_DOWN,) * 5:
        label, value = reader.tip[0], float(reader.tip[2].split()[0])
        heights[label] = value
        reader.press(key)
        assert float(reader.tip[2].split()[0]) >= value if key == Keys.ARROW_UP else True
    # `er` did not learn the third task.
    assert set(heights) == set(METHODS) - {"er"}


def test_a_method_opens_its_matrix(reader, run):
    reader.button("#summary-table", NASTY).click()
    dialog = reader.one("dialog")
    assert dialog.is_displayed()
    assert dialog.find_element(By.TAG_NAME, "h3").text == f"Accuracy matrix of {NASTY}"
    cells = [cell.text for cell in reader.all("dialog tbody td")]
    at = [f"{mean(run, NASTY, i, j):.0f}" if j <= i else "" for i in (1, 2, 3) for j in (1, 2, 3)]
    assert cells == at

    reader.driver.execute_script("arguments[0].focus()", reader.one("dialog td[tabindex='0']"))
    reader.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert reader.tip == [f"{mean(run, NASTY, 2, 2):.2f} %", "on 2. cars & <vans>", "after 2. cars & <vans>"]
    reader.press(Keys.ESCAPE)
    assert not dialog.is_displayed()
    # Back where the reader was.
    assert reader.focused.text == NASTY


@pytest.mark.parametrize("selector", ["#accuracy_vs_parameters .point", ".choice .open", ".matrices button"])
def test_a_matrix_opens_from_wherever_a_method_is(reader, selector):
    reader.hover(reader.one(selector))
    ActionChains(reader.driver).click().perform()
    assert reader.one("dialog h3").text == "Accuracy matrix of clr"
    reader.one("dialog .close").click()
    assert not reader.one("dialog").is_displayed()


def test_the_first_tap_of_a_finger_looks_and_the_second_opens(reader):
    point = reader.all("#accuracy_vs_compute .point")[0]
    reader.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)

    def tap():
        finger = ActionBuilder(reader.driver, mouse=PointerInput(POINTER_TOUCH, "finger"))
        # Two taps without a pause are a double tap, which is a gesture of its own.
        finger.pointer_action.move_to(point).click().pause(0.5)
        finger.perform()

    tap()
    assert reader.tip[0] == "clr"
    assert not reader.one("dialog").is_displayed()
    tap()
    assert reader.one("dialog h3").text == "Accuracy matrix of clr"


def test_no_label_is_markup(reader):
    assert reader.all("b[onclick]") == []
    assert NASTY in [label.text for label in reader.all(".choice label")]


def test_black_is_seen_on_a_dark_page(reader):
    def joint():
        return reader.style("#average_accuracy [data-method='2'] .line", "stroke")

    def page():
        return reader.style("body", "background-color")

    reader.prefers("light")
    assert (joint(), page()) == ("rgb(0, 0, 0)", "rgba(255, 255, 255, 1)")
    reader.prefers("dark")
    assert (joint(), page()) == ("rgb(244, 244, 244)", "rgba(21, 23, 26, 1)")
    # Paper is white.
    reader.prefers("dark", media="print")
    assert (joint(), page()) == ("rgb(0, 0, 0)", "rgba(255, 255, 255, 1)")


def overflow(reader):
    return reader.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


def test_a_phone_shows_the_page_without_scrolling_sideways(reader, report):
    reader.emulate("setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    reader.open(report)
    assert reader.driver.execute_script("return window.innerWidth") == 390
    assert overflow(reader) <= 0
    assert 0 < reader.one("#average_accuracy svg").rect["width"] <= 390
    reader.all(".matrices button")[0].click()
    assert overflow(reader) <= 0


def test_charts_follow_the_width_of_the_window(reader):
    before = reader.one("#average_accuracy svg").get_dom_attribute("viewBox")
    reader.emulate("setDeviceMetricsOverride", width=700, height=900, deviceScaleFactor=1, mobile=False)
    reader.settle()
    assert reader.one("#average_accuracy svg").get_dom_attribute("viewBox") != before


def test_paper_has_all_charts_and_tables_and_no_buttons(reader):
    reader.prefers("light", media="print")
    reader.driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert all(chart.is_displayed() for chart in reader.all(".chart svg, .matrices svg, table:not(.heat)"))
    assert not reader.one(".choice .buttons").is_displayed()
    assert not reader.one("nav").is_displayed()
    assert "ValueError: the loss is <nan> & more" in reader.one("#unfinished pre").text


def test_without_a_script_there_are_tables_and_figures(reader, report):
    reader.emulate("setScriptExecutionDisabled", value=True)
    reader.driver.get(report.as_uri())
    assert reader.one("noscript img").is_displayed()
    assert not reader.one(".choice").is_displayed()
    assert set(names(reader, "summary")) == set(METHODS)
    assert reader.all("thead button") == []
    assert reader.one("#summary-table th[aria-sort='descending']").text == "Average accuracy (%)"
    reader.emulate("setScriptExecutionDisabled", value=False)


def test_many_methods_tasks_and_seeds(reader, make_run, tmp_path):
    many = make_run([f"method:rank={k}" for k in range(25)], [f"skill {t}" for t in range(53)], seeds=5)
    reader.open(write_page(replace(many, path=tmp_path)))
    assert len(reader.all("#average_accuracy .mark")) == len(reader.all(".matrices button")) == 25
    assert overflow(reader) <= 0
    reader.all(".matrices button")[24].click()
    assert len(reader.all("dialog td[tabindex]")) == 53 * 54 // 2
    assert reader.one("dialog").rect["width"] <= 1280


def test_a_run_in_which_nothing_was_learned(reader, make_run, tmp_path):
    run = make_run(["clr"], TASKS, failed="clr")
    nothing = results_of(tmp_path, run.manifest, run.accuracy.iloc[:0], run.parameters, run.compute)
    reader.open(write_page(nothing))
    assert not reader.one(".choice").is_displayed()
    assert [chart.text for chart in reader.all(".chart")] == ["No method finished a task."] * 6
    assert "the loss is <nan>" in reader.one("#unfinished").text


def answered(labels, given):
    truth = TaskLabels("birds", "f", ("owl", NASTY), np.array(labels), tuple(f"{k}.png" for k in range(len(labels))))
    return Marked(Answers(np.array(given), np.linspace(0.5, 1, len(labels), dtype=np.float32)), truth)


def test_the_answers_of_a_method_to_a_task(reader, run, tmp_path):
    wrong, right = answered([0, 0, 1, 1], [1, 1, 1, 0]), answered([0, 1], [0, 1])
    answers = {("clr", 0, 0): {1: wrong, 2: right, 3: None}, (NASTY, 0, 0): {1: right, 2: right, 3: wrong}}
    reader.open(write_page(replace(run, path=tmp_path, answers=answers)))

    def shown(table):
        rows = reader.all(f"#answers-shown .body {table} tbody tr")
        return [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]

    assert shown(".heat") == [["owl", "", "2"], [NASTY, "1", "1"]]
    assert shown("div:nth-of-type(2)") == [["owl", NASTY, "2 of 2"], [NASTY, "owl", "1 of 2"]]
    assert [row[0] for row in shown("div:nth-of-type(3)")] == ["3.png", "1.png", "0.png"]
    Select(reader.one("#answers-task")).select_by_index(2)
    assert "its answers are not kept" in reader.one("#answers-shown .body").text
    Select(reader.one("#answers-method")).select_by_visible_text(NASTY)
    assert reader.one("#answers-shown .body p").text.startswith(f"{NASTY}, seed 0: 1 of 4 images of birds")
    Select(reader.one("#answers-task")).select_by_index(0)
    assert [row[1:] for row in shown(".heat")] == [["1", ""], ["", "1"]]
    assert reader.all("#answers-shown h3") == [], "no mistakes"
    assert overflow(reader) <= 0


def test_pictures_of_the_surest_mistakes(reader, run, tmp_path):
    """Of one image there is none: its name is there all the same."""
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(3, 8, 8)
    write_thumbnails(tmp_path, {1: {3: thumbnail(image), 1: thumbnail(image[:1])}})
    answers = {("clr", 0, 0): dict.fromkeys((1, 2, 3), answered([0, 0, 1, 1], [1, 1, 1, 0]))}
    reader.open(write_page(replace(run, path=tmp_path, answers=answers)))
    rows = reader.all("#answers-shown .body div:nth-of-type(3) tbody tr")
    assert [row.text.split()[0] for row in rows] == ["3.png", "1.png", "0.png"]
    pictures = reader.all("#answers-shown img")
    assert [picture.get_attribute("alt") for picture in pictures] == [
        f"Image of the class {NASTY}",
        "Image of the class owl",
    ]
    for picture in pictures:
        assert picture.get_property("naturalWidth") == 8
        assert picture.rect["width"] == picture.rect["height"] == 48
    Select(reader.one("#answers-task")).select_by_index(1)
    assert reader.all("#answers-shown img") == []
    assert overflow(reader) <= 0


def test_a_confusion_is_read_by_pointer_and_by_arrow_keys(reader, run, tmp_path):
    answers = {("clr", 0, 0): dict.fromkeys((1, 2, 3), answered([0, 0, 0, 1, 1], [1, 1, 0, 1, 1]))}
    reader.open(write_page(replace(run, path=tmp_path, answers=answers)))
    reader.hover(reader.all("#answers-shown .heat tbody td")[1])
    assert reader.tip == ["2 of 3 images", "of the class owl", f"were answered with {NASTY}"]
    reader.driver.execute_script("arguments[0].focus()", reader.one("#answers-shown td[tabindex='0']"))
    assert reader.tip == ["1 of 3 images", "of the class owl", "were answered with owl"]
    reader.press(Keys.ARROW_DOWN)
    assert reader.tip == ["0 of 2 images", f"of the class {NASTY}", "were answered with owl"]
    assert [cell.text for cell in reader.all("#answers-shown td.right")] == ["1", "2"]


def test_a_class_of_another_task_is_named_with_its_task(reader, make_run, tmp_path):
    """The classes of all three tasks have the same names, and there are no answers to the third task."""
    run = make_run(["clr"], TASKS)
    for task in run.manifest["tasks"]:
        task["classes"] = 2
    first = replace(answered([0, 0, 1], [0, 2, 4]), competing=6)
    second = replace(answered([0, 1], [0, 3]), first=2, competing=6)
    answers = {("clr", 0, 0): {1: first, 2: second, 3: None}}
    reader.open(write_page(replace(run, path=tmp_path, answers=answers)))
    assert "a class of another task" in reader.one("#answers-shown .body .caption").text
    headings = [cell.get_attribute("title") for cell in reader.all("#answers-shown .heat thead th")]
    assert headings == ["owl", NASTY, f"owl ({TASKS[1]})", "class 1"]
    mistake = reader.one("#answers-shown .body div:nth-of-type(2) tbody tr")
    assert mistake.text == f"owl owl ({TASKS[1]}) 1 of 2"
    Select(reader.one("#answers-task")).select_by_index(1)
    headings = [cell.get_attribute("title") for cell in reader.all("#answers-shown .heat thead th")]
    assert headings == [f"owl ({TASKS[0]})", "owl", NASTY]
    assert [cell.text for cell in reader.all("#answers-shown td.right")] == ["", "1"]


def test_headings_from_below_turn_every_writing(reader, run, tmp_path):
    """Without that, a Chinese character stands on its head."""
    answers = {("clr", 0, 0): dict.fromkeys((1, 2, 3), answered([0, 1], [1, 1]))}
    guesses = {("clr", "class"): {("clr", 0, 0): np.diag([4, 4, 2])}}
    reader.open(write_page(replace(run, path=tmp_path, answers=answers, guesses=guesses)))
    for shown in ("#answers-shown", "#guesses-shown"):
        heading = f"{shown} .heat thead span"
        assert reader.style(heading, "writing-mode").startswith("vertical-")
        assert reader.style(heading, "text-orientation") == "sideways"


def test_which_task_was_guessed(reader, run, tmp_path):
    """Of a method's rules one is chosen, and of the next method the same rule is shown, if it has it."""
    right, worse = np.diag([4, 4, 2]), np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    ways = {"joint": ("class",), NASTY: ("inferred:gmm", "inferred:centres"), "sgd": ("class", "inferred:centres")}
    guesses = {
        (label, name): {(label, 2, 0): worse if name == "inferred:centres" else right}
        for label, names in ways.items()
        for name in names
    }
    reader.open(write_page(replace(run, path=tmp_path, guesses=guesses)))

    def cells():
        rows = reader.all("#guesses-shown .heat tbody tr")
        return [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]

    def rules():
        return [option.text for option in reader.all("#guesses-rule option")]

    assert rules() == ["joint softmax"]
    assert cells() == [["100", "", ""], ["", "100", ""], ["", "", "100"]]
    Select(reader.one("#guesses-method")).select_by_visible_text(NASTY)
    assert rules() == ["gmm", "centres"]
    Select(reader.one("#guesses-rule")).select_by_visible_text("centres")
    assert reader.one("#guesses-shown .body p").text.startswith(f"{NASTY}, centres, seed 2: the task of 7 of 8 images")
    assert cells() == [["75", "25", ""], ["", "100", ""], ["", "", ""]]
    reader.hover(reader.all("#guesses-shown .heat tbody td")[1])
    assert reader.tip == ["1 of 4 images", "of the task flowers", "were taken for cars & <vans>"]
    Select(reader.one("#guesses-method")).select_by_visible_text("sgd")
    assert rules() == ["joint softmax", "centres"]
    assert cells()[0] == ["75", "25", ""]


def test_tables_follow_the_choice_which_is_kept_on_reload(reader, report):
    def rows(table):
        return {row.text for row in reader.all(f"#{table} tbody tr:not([hidden]) th")}

    reader.all(".choice input")[2].click()
    reader.one(".spread input").click()
    for again in (False, True):
        if again:
            reader.open(report)
        assert rows("summary-table") == set(METHODS) - {"joint"}
        assert rows("compute-table") == set(METHODS) - {"joint", "er"}
        assert "joint" not in rows("methods")
        assert curves(reader) == [0, 1, 3, 4]
        assert not reader.all(".choice input")[2].is_selected()
        assert not reader.one(".spread input").is_selected()
        assert "4 of 5 rows" in reader.one("#summary .filtered").text
    reader.button("#summary .filtered", "Show all").click()
    reader.one(".spread input").click()
    assert rows("summary-table") == set(METHODS)
    assert reader.all(".filtered") == []
    assert reader.driver.execute_script("return localStorage.length") == 0


def test_bands_and_repetitions_can_be_switched_off(reader):
    kinds = ".line.each, .band, .interval, .repetition"
    assert len(reader.all("#average_accuracy .line.each")) == 3 * len(METHODS)
    reader.one(".spread input").click()
    assert reader.all(kinds) == []
    assert len(reader.all("#average_accuracy .line")) == len(METHODS)
    reader.one(".spread input").click()
    assert reader.all(kinds)


def test_a_table_says_how_it_is_sorted(reader):
    def said():
        return reader.one("#summary .order").text

    assert said() == "Sorted by average accuracy, the highest first."
    reader.button("#summary-table", "Forgetting (pp)").click()
    assert said() == "Sorted by Forgetting (pp), the highest first."
    reader.button("#summary-table", "Method").click()
    assert said() == "Sorted by Method, from A to Z."


def test_chance_is_told_in_the_charts_where_it_is_on_the_axis_and_where_not(reader, run, tmp_path):
    high = results_of(tmp_path, run.manifest, run.accuracy.assign(accuracy=0.9), run.parameters, run.compute)
    reader.open(write_page(high))
    for name in ("average_accuracy", "first_task_accuracy", "accuracy_vs_compute"):
        assert reader.one(f"#{name} .below").text == "Chance, 10.0 %, is below the axis."
    low = results_of(tmp_path, run.manifest, run.accuracy.assign(accuracy=0.1), run.parameters, run.compute)
    reader.open(write_page(low))
    for name in ("average_accuracy", "first_task_accuracy", "accuracy_vs_compute"):
        assert reader.one(f"#{name} .chance-label").text == "chance: 10.0 %"


def test_losses_are_drawn_task_after_task(reader, run, tmp_path):
    losses = {("clr", 0, 0): [[2.0, 1.0], [3.0, 0.5], [0.25]]}
    reader.open(write_page(replace(run, path=tmp_path, losses=losses)))
    assert reader.one("#loss .line").get_dom_attribute("d").count("L") == 4
    points = [point.get_attribute("aria-label") for point in reader.all("#loss .point")]
    assert points == [
        "clr, while learning 1. flowers, loss from 2 to 1",
        "clr, while learning 2. cars & <vans>, loss from 3 to 0.5",
        "clr, while learning 3. birds, loss 0.25",
    ]


def test_columns_are_explained_without_a_pointer(reader):
    details = reader.one("#summary .columns")
    details.find_element(By.TAG_NAME, "summary").click()
    assert "mean over j < T of R[T, j] - R[j, j]. Higher is better." in details.text


def test_paper_has_numbers_in_matrices_and_two_charts_on_a_page(reader):
    value = "#accuracy_matrix .value"
    assert not reader.one(value).is_displayed()
    reader.prefers("light", media="print")
    assert reader.one(value).is_displayed()
    assert len(reader.all(value)) == 4 * 6 + 1
    # A page of A4 has 277 mm between margins of 1 cm.
    for name in ("average_accuracy", "accuracy_vs_compute"):
        assert reader.one(f"#{name}").rect["height"] <= 277 / 2 / 25.4 * 96
