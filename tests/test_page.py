"""Reports: tables as Markdown, blocks that are replaced, and the page, also in a browser."""

import base64
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from studies import page
from studies.page import Section, markdown_table, replace_block, write_report

NASTY = "roses </td></script><script>alert('&lt;')</script> | `$x$` \\ \"q\" größer"
VOID = {"meta", "link", "img", "br", "hr", "input"}


def make_figure():
    figure = Figure((4, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], [3, 1, 2], marker="o", label="a")
    axes.legend()
    axes.set_title(NASTY, parse_math=False)
    return figure


def make_report(folder, **changes):
    table = pd.DataFrame(
        {
            "method": ["box 10", NASTY, "box 9", "10 x", None],
            "top-1": ["87.3 (84-90)", "9.5 (8-11)", "", "100.0 (98-100)", "12.0 (9-15)"],
            "p": [0.5, 2e-9, np.nan, 0.0401, 3.0],
            "size": pd.array([224, 32, 96, None, 1024], dtype="Int64"),
            **{f"cost {i}, which has a long name": range(5) for i in range(12)},
        }
    )
    frame = pd.DataFrame(
        {
            "command": "python -m studies transfer --data " + 20 * "a/long/path/" + NASTY,
            "torch": ["2.15.0", "2.15.0", None],
            "cpu": "AMD EPYC",
            "error": [None, "OSError: \udcff", NASTY],
        }
    )
    values = {
        "title": f"transfer: {NASTY}",
        "sections": [
            Section("Top-1", ["One.", NASTY], table, [make_figure(), make_figure()], "In %."),
            Section("Top-1", table=table.set_index("method")[["p"]]),
            Section(NASTY),
        ],
        "frame": frame,
        "intro": [f"Take {NASTY}.", "Do not take the other."],
        "sure": ["Rather."],
    }
    return write_report(folder, **(values | changes))


class Reader(HTMLParser):
    """Elements with their attributes, and the text outside of styles and scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text, self.raw = [], [], "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            self.raw += data
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


# Tables and text.


@pytest.mark.parametrize(
    ("value", "text", "key"),
    [
        (0.04014, "0.04014", 0.04014),
        (0.123456, "0.1235", 0.123456),
        (2.44e-16, "2.44e-16", 2.44e-16),
        (123456.7, "123457", 123456.7),
        (1234567, "1234567", 1234567),
        (np.float32(0.5), "0.5", 0.5),
        (np.nan, "", None),
        (None, "", None),
        (pd.NA, "", None),
        (True, "True", None),
        ("87.3 (84-90)", "87.3 (84-90)", 87.3),
        ("+1.5 points", "+1.5 points", 1.5),
        ("\u22121.5 (-3 to 0)", "\u22121.5 (-3 to 0)", -1.5),
        ("-.5", "-.5", None),
        ("< 0.001", "< 0.001", 0.001),
        ("12,345 of 20,000", "12,345 of 20,000", 12345),
        ("1e-3", "1e-3", 1e-3),
        ("224x224", "224x224", None),
        ("2.15.0", "2.15.0", None),
        ("7ac7ae34", "7ac7ae34", None),
        ("2026-11-21", "2026-11-21", None),
        ("84-90", "84-90", 84),
        ("box", "box", None),
        (" two\n lines ", "two lines", None),
    ],
)
def test_cells_have_a_text_and_a_number_to_sort_by(value, text, key):
    assert page.to_text(value) == text
    if text:
        assert page.sort_key(value) == key


def test_tables_are_aligned_markdown():
    table = pd.DataFrame({"method": ["box", "a|b"], "top-1": [0.5, None], "n": [7, 12345]})
    assert markdown_table(table).splitlines() == [
        "| method | top-1 |     n |",
        "| ------ | ----: | ----: |",
        "| box    |   0.5 |     7 |",
        "| a\\|b   |       | 12345 |",
    ]
    wide = pd.DataFrame(
        [[1, 2]], pd.Index(["x"], name="m"), pd.MultiIndex.from_product([["a"], [8, 9]])
    )
    assert markdown_table(wide).splitlines()[0] == "| m   | a 8 | a 9 |"


def test_markdown_shows_plain_text():
    text = "a_b _c_ *d* `e` [f](g) <h> &lt; ~i~ $j$ k\\l # m 1. n"
    unescaped = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", page.escape_markdown(text))
    assert unescaped == text
    live = re.sub(r"\\.", "", page.escape_markdown(text))
    assert not set("*`[]<>~$\\&") & set(live)
    assert [page.escape_markdown(f"{mark} x") for mark in ("#", "-", "+", "1.", "2)", "1")] == [
        "\\# x", "\\- x", "\\+ x", "1\\. x", "2\\) x", "1 x",
    ]  # fmt: skip


def test_blocks_are_replaced_and_stay_replaceable():
    text = "# A\n<!-- table: a -->\nold\n<!-- end: a -->\nb\n<!-- table: b -->\n<!-- end: b -->"
    once = replace_block(text, "a", "| new |\n")
    assert once == text.replace("\nold\n", "\n\n| new |\n\n")
    assert replace_block(once, "a", "| new |") == once
    assert replace_block(once, "a", "\\1 \\g<0>").count("\\1 \\g<0>") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- end: a -->", "'<!-- table: a -->' once, found 0"),
        ("<!-- table: a -->", "'<!-- end: a -->' once, found 0"),
        ("<!-- table: a --><!-- end: a --><!-- end: a -->", "'<!-- end: a -->' once, found 2"),
        ("<!-- table: a -->" * 2 + "<!-- end: a -->", "'<!-- table: a -->' once, found 2"),
        ("<!-- end: a --><!-- table: a -->", "'<!-- table: a -->' before '<!-- end: a -->'"),
    ],
)
def test_blocks_without_their_markers_are_refused(text, words):
    with pytest.raises(ValueError, match=f"^text: .*{re.escape(words)}$"):
        replace_block(text, "a", "new")


# Files.


def test_a_report_is_written(tmp_path):
    path = make_report(tmp_path)
    assert path == tmp_path / "index.html"
    assert {p.name for p in tmp_path.iterdir()} == {
        "index.html", "summary.md", "results.csv", "top-1.png", "top-1-2.png",
    }  # fmt: skip
    with Image.open(tmp_path / "top-1-2.png") as image:
        assert image.width == 600
    frame = pd.read_csv(tmp_path / "results.csv")
    assert frame.error.tolist()[1:] == ["OSError: \\udcff", NASTY]
    words = (tmp_path / "summary.md").read_text(encoding="utf-8")
    order = ["# transfer", "## What was found", "## Top-1", "![Top-1](top-1.png)"]
    order += ["![Top-1](top-1-2.png)", "## Top-1", "## How sure it is", "## What was run"]
    places = [words.index(order[0])]
    for part in order[1:]:
        places.append(words.index(part, places[-1] + 1))
    assert not re.search(r"(?<!\\)<(?!!)", words)
    assert "- torch: 2.15.0\n- cpu: AMD EPYC" in words


def test_the_page_is_well_formed_and_has_everything(tmp_path):
    text = make_report(tmp_path).read_text(encoding="utf-8")
    reader = Reader(text)
    assert not reader.open
    assert [tag for tag, _ in reader.elements].count("script") == 1
    assert "alert" not in reader.raw
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = [a["href"][1:] for a in reader.all("a") if a["href"].startswith("#")]
    assert len(targets) == 6
    assert set(targets) <= set(ids)
    shown = ["What was found, and what to do", f"Take {NASTY}.", "One.", "In %.", "Rather."]
    shown += [f"transfer: {NASTY}", "How sure it is", "What was run", "torch", "2.15.0", "3 rows"]
    for words in shown:
        assert words in reader.text
    assert reader.text.count(NASTY) >= 8
    assert reader.text.index("Take") < reader.text.index("One.") < reader.text.index("Rather.")


def test_the_page_needs_nothing_else(tmp_path):
    text = make_report(tmp_path).read_text(encoding="utf-8")
    reader = Reader(text)
    names = ("src", "href", "srcset", "action", "data", "poster", "background")
    links = [a[name] for _, a in reader.elements for name in names if name in a]
    local = {"results.csv", "summary.md"}
    assert {a for a in links if not a.startswith(("#", "data:"))} == local
    assert not re.search(r"url\(|@import|//[a-z]", reader.raw)
    pictures = [a["src"] for a in reader.all("img")]
    assert len(pictures) == 2
    for picture in pictures:
        svg = base64.b64decode(picture.removeprefix("data:image/svg+xml;base64,"))
        assert ET.fromstring(svg).tag.endswith("svg")


def test_parts_without_content_are_left_out(tmp_path):
    make_report(tmp_path, intro=[], sure=[], sections=[], frame=pd.DataFrame({"a": [1]}))
    reader = Reader((tmp_path / "index.html").read_text(encoding="utf-8"))
    for words in (reader.text, (tmp_path / "summary.md").read_text(encoding="utf-8")):
        assert "What was found" not in words
        assert "How sure" not in words


def test_the_same_input_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_report(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    picture = base64.b64decode(
        re.search(r"svg\+xml;base64,([^\"]*)", (tmp_path / "a/index.html").read_text())[1]
    )
    assert b"dc:date" not in picture


def test_nothing_is_written_where_a_part_fails(tmp_path):
    class Broken(Figure):
        def savefig(self, *_, **options):
            if options["format"] == "svg":
                raise RuntimeError("no ink")

    with pytest.raises(RuntimeError, match="no ink"):
        make_report(tmp_path, sections=[Section("a", figures=[Broken()])])
    assert not list(tmp_path.iterdir())


def test_headings_have_names_of_their_own():
    headings = ["A-3", "a", "a", "a", "???", "", "a" * 99, "a" * 99]
    names = page._anchors(headings)
    assert len(set(names)) == len(headings)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


# A browser.


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return make_report(tmp_path_factory.mktemp("report"))


def show(browser, report, width, scheme="light"):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(report.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_the_screen(browser, report, width, scheme):
    show(browser, report, width, scheme)
    page_width, inner = browser.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth]"
    )
    assert page_width <= inner == width
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(b => [b.scrollWidth, b.clientWidth])"
    )
    assert boxes[0][0] > boxes[0][1], "the wide table scrolls inside its box"
    assert browser.execute_script("return [...document.images].every(i => i.naturalWidth > 100)")
    colours = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    text, back = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours)
    assert (text < 64 < 192 < back) if scheme == "light" else (back < 64 < 192 < text)
    assert browser.get_log("browser") == []


def column(browser, i):
    return browser.execute_script(
        "return [...document.querySelector('table').tBodies[0].rows]"
        f".map(row => row.cells[{i}].textContent.trim())"
    )


def sort_marks(browser):
    return browser.execute_script(
        "return [...document.querySelector('table').querySelectorAll('th')]"
        ".slice(0, 4).map(th => th.getAttribute('aria-sort'))"
    )


def test_headings_sort(browser, report):
    show(browser, report, 1440)
    buttons = browser.find_elements("css selector", "table:first-of-type th button")
    assert sort_marks(browser) == [None] * 4
    up = ["9.5 (8-11)", "12.0 (9-15)", "87.3 (84-90)", "100.0 (98-100)"]
    buttons[1].click()
    assert column(browser, 1) == [*up, ""]
    assert sort_marks(browser) == [None, "ascending", None, None]
    buttons[1].click()
    assert column(browser, 1) == [*up[::-1], ""]
    assert sort_marks(browser) == [None, "descending", None, None]
    buttons[2].click()
    assert column(browser, 2) == ["2e-09", "0.0401", "0.5", "3", ""]
    buttons[3].click()
    assert column(browser, 3) == ["32", "96", "224", "1024", ""]
    buttons[0].click()
    assert column(browser, 0) == ["10 x", "box 9", "box 10", NASTY, ""]
    assert sort_marks(browser) == ["ascending", None, None, None]
    assert browser.get_log("browser") == []


def test_headings_sort_by_the_keyboard(browser, report):
    show(browser, report, 1440)
    button = browser.find_elements("css selector", "table:first-of-type th button")[3]
    browser.execute_script("document.querySelector('table th button').focus()")
    for key in ("\ue004", "\ue004", "\ue004", "\ue007"):  # Tab three times, Enter
        browser.switch_to.active_element.send_keys(key)
    assert browser.switch_to.active_element == button
    assert column(browser, 3) == ["32", "96", "224", "1024", ""]
    button.send_keys(" ")
    assert column(browser, 3) == ["1024", "224", "96", "32", ""]
