"""The report in a real browser, without a network."""

import numpy as np
import pytest
from test_report_evaluation import HOSTILE, save, spot
from web_fakes import BROWSER_MARKS, browser_page

from infraspot.cli.main import main

expect = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's core package is not installed"
).expect
pytestmark = BROWSER_MARKS


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Thirty frames: in every third the target is missed, in every fifth there is a false alarm."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    for number in range(30):
        name = HOSTILE if number == 0 else f"cam_{number}"
        mask = spot(10, 10 + number)
        save(folder / "set" / "images" / f"{name}.png", rng.integers(0, 50, mask.shape) + 200 * mask)
        save(folder / "set" / "masks" / f"{name}_pixels0.png", mask)
        scores = np.where(mask, 0.3 if number % 3 == 0 else 0.8, 0.01)
        other = np.where(mask, 0.3 if number % 3 == 1 else 0.8, 0.01)
        if number % 5 == 0:
            scores[spot(30, 4)] = 0.6
        save(folder / "pred" / f"{name}.npy", scores.astype(np.float32))
        save(folder / HOSTILE / f"{name}.npy", other.astype(np.float32))
    out = folder / "report.html"
    arguments = ["evaluate", str(folder / "pred"), str(folder / "set"), "--against", str(folder / HOSTILE)]
    assert main([*arguments, "--report", str(out), "--bootstrap", "100"]) == 0
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Twenty frames, one detector: scores of 0.8 and 0.3 on targets, 0.6 and 0.2 beside them."""
    folder = tmp_path_factory.mktemp("alone")
    for number in range(20):
        mask = spot(10, 10)
        save(folder / "set" / "images" / f"{number}.png", 50 + 200 * mask)
        save(folder / "set" / "masks" / f"{number}_pixels0.png", mask)
        scores = np.where(mask, 0.3 if number % 4 == 0 else 0.8, 0.01)
        scores[spot(30, 4)] = 0.6 if number % 5 == 0 else 0.2 if number % 2 else 0.01
        save(folder / "pred" / f"{number}.npy", scores.astype(np.float32))
    out = folder / "report.html"
    arguments = ["evaluate", str(folder / "pred"), str(folder / "set"), "--bootstrap", "0"]
    assert main([*arguments, "--report", str(out)]) == 0
    return out


def test_the_list_of_cases_follows_the_threshold(alone):
    with browser_page(1280, 720) as page:
        page.goto(alone.as_uri())
        state, slider = page.locator("#state"), page.locator("#threshold")
        section = page.locator("section", has=page.locator("#kind"))
        expect(state).to_have_text("At threshold 0.5, as scored: 5 missed, 4 false alarms.")
        expect(section.locator("tbody tr")).to_have_count(9)
        slider.focus()
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        expect(state).to_have_text("At threshold 0.7: 5 missed, 0 false alarms.")
        expect(section.locator("tbody tr")).to_have_count(5)
        for _ in range(55):
            page.keyboard.press("ArrowLeft")
        expect(state).to_contain_text(
            "At threshold 0.15: 0 missed, 12 false alarms. Of each frame, at most 10"
        )
        page.locator("#kind").select_option("alarms")
        expect(section.locator("tbody tr")).to_have_count(12)
        section.get_by_role("button", name="Pictures").click()
        expect(section.locator(".gallery button")).to_have_count(12)
        page.get_by_role("button", name="scored 0.5").click()
        expect(section.locator(".gallery button")).to_have_count(4)


@pytest.fixture(params=[(1280, 720), (390, 844)], ids=["wide", "narrow"])
def page(request, report):
    with browser_page(*request.param) as page:
        asked, said = [], []
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: said.append(one.text))
        page.context.set_offline(True)
        page.goto(report.as_uri())
        expect(page.locator("footer")).to_be_visible()
        yield page
        assert page.evaluate("window.broken") is None
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert said == []


def test_the_page_fits_the_screen_and_shows_the_numbers(page):
    expect(page.locator("h1")).to_have_text("pred on set")
    expect(page.locator(".tile").first).to_contain_text("0.667")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_slider_moves_by_keyboard_and_the_command_follows(page):
    command, missed = page.locator("#command"), page.locator(".readings dd").nth(2)
    expect(command).to_have_text("infraspot detect FRAMES --model MODEL --threshold 0.5")
    expect(missed).to_have_text("10 of 30")
    page.locator("#threshold").focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(command).to_contain_text("--threshold 0.2")
    expect(missed).to_have_text("0 of 30")
    page.locator("#fps").fill("10")
    # 6 false alarms in 30 frames, at 10 frames a second.
    expect(page.locator(".readings dd b").nth(5)).to_have_text("7,200")
    page.locator("#limit").fill("0")
    page.keyboard.press("Tab")
    expect(command).to_contain_text("--threshold 0.79")


def test_cases_are_filtered_sorted_and_opened_by_keyboard(page):
    frames = page.locator("tbody tr td:nth-child(4)")
    page.locator("#kind").select_option("missed")
    expect(page.locator("#kind").locator("xpath=ancestor::section").locator("tbody tr")).to_have_count(10)
    cases = page.locator("section", has=page.locator("#kind")).locator("tbody tr")
    head = page.locator("section", has=page.locator("#kind")).get_by_role("button", name="x", exact=True)
    head.focus()
    page.keyboard.press("Enter")
    expect(cases.first).to_contain_text("cam_27")
    page.keyboard.press("Enter")
    expect(cases.first).to_contain_text(HOSTILE[:20])
    assert frames.count() > 0
    cases.first.locator("button.open").focus()
    page.keyboard.press("Enter")
    told = page.locator("dialog .hint")
    expect(told).to_have_text("1 of 10")
    page.keyboard.press("ArrowRight")
    expect(told).to_have_text("2 of 10")
    expect(page.locator("dialog h3")).to_have_text("cam_3")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("dialog h3")).to_contain_text("window.broken")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.locator("#search").fill("cam_2")
    expect(cases).to_have_count(3)


def test_pictures_and_the_comparison_are_shown(page):
    section = page.locator("section", has=page.locator("#kind"))
    page.locator("#kind").select_option("losses")
    section.get_by_role("button", name="Pictures").click()
    # 10 targets that only the other finds, and 6 alarms that only the first raises.
    expect(section.locator(".gallery button")).to_have_count(16)
    first = section.locator(".gallery .crop").first
    expect(first.locator("path.truth")).to_have_count(1)
    assert first.locator("img").evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 44
    expect(page.locator("section", has=page.locator("#compare"))).to_contain_text("10")


def test_the_data_and_the_cases_can_be_saved(page):
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    lines = saved.value.path().read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("kind,frame,word,found,by,x,y")
    assert len(lines) == 1 + 10 + 6


def test_print_shows_the_numbers_without_the_controls(page):
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("#threshold")).to_be_hidden()
    expect(page.locator(".readings")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
