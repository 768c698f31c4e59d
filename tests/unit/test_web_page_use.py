"""The annotation page as a person uses it: keys, questions, tiny targets, damaged frames, slow methods."""

import re
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from web_fakes import BROWSER_MARKS, Server, areas, browser_page, click_at, drag, free_port, on_screen, spots

from infraspot.data import write_grey
from infraspot.serving.listening import listen
from infraspot.web.background import Background
from infraspot.web.server import make_app
from infraspot.web.session import Session

expect = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's core package is not installed"
).expect
pytestmark = BROWSER_MARKS
PLACES = [(30, 40), (60, 90), (80, 20)]


@pytest.fixture
def page():
    with browser_page() as page:
        yield page


@pytest.fixture
def folder(tmp_path, rng):
    images = tmp_path / "frames"
    for name in ("a", "b", "c"):
        write_grey(images / f"{name}.png", spots(rng, PLACES))
    return images


@pytest.fixture
def server(folder, tmp_path):
    server = Server(folder, tmp_path / "out", free_port())
    yield server
    server.kill()


@contextmanager
def served_here(folder, out):
    """A server in this process, with methods and a model that become ready when the test says so."""
    session = Session(folder, out)
    background, port = Background(session), free_port()
    with listen(port) as listener:
        app = make_app(session, "token", port, background)
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield background, f"http://127.0.0.1:{port}/?token=token"
        running.should_exit = True
        thread.join()
    session.journal.close()


def opened(page, server, name="a"):
    page.goto(server.address)
    expect(page.locator("#title")).to_have_text(name)


def proposals_left(page, count):
    text = f"{count} proposal{'' if count == 1 else 's'} left" if count else "no proposals left"
    expect(page.locator("#looking")).to_contain_text(text)


def test_the_keys_of_the_system_undo_redo_and_delete(page, server):
    rows = page.locator("#targets tr")
    opened(page, server)
    click_at(page, 40, 30)
    expect(rows).to_have_count(1)
    for key, count in (("Control+z", 0), ("Control+Shift+z", 1), ("Control+z", 0), ("Control+y", 1)):
        page.keyboard.press(key)
        expect(rows).to_have_count(count)
    for key in ("Delete", "Backspace"):
        rows.first.click()
        page.mouse.move(5, 5)
        page.keyboard.press(key)
        expect(rows).to_have_count(0)
        page.keyboard.press("z")
        expect(rows).to_have_count(1)


def test_accept_all_is_one_step_for_undo_and_the_rings_come_back(page, server):
    rows = page.locator("#targets tr")
    opened(page, server)
    proposals_left(page, 3)
    page.keyboard.press("a")
    expect(rows).to_have_count(3)
    proposals_left(page, 0)
    page.keyboard.press("Control+z")
    expect(rows).to_have_count(0)
    proposals_left(page, 3)
    page.keyboard.press("Control+Shift+z")
    expect(rows).to_have_count(3)
    page.reload()
    expect(rows).to_have_count(3)


def test_no_target_here_asks_before_it_takes_marked_targets_away(page, server):
    rows, empty = page.locator("#targets tr"), page.locator('#statuses [data-status="empty"]')
    opened(page, server)
    click_at(page, 40, 30)
    expect(rows).to_have_count(1)
    page.keyboard.press("n")
    expect(page.locator("#message")).to_contain_text("N again")
    expect(rows).to_have_count(1)
    page.keyboard.press("f")  # any other key takes the question back
    page.keyboard.press("n")
    expect(rows).to_have_count(1)
    page.keyboard.press("n")
    expect(rows).to_have_count(0)
    expect(empty).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("z")
    expect(rows).to_have_count(1)


def test_a_damaged_first_frame_says_so_and_lets_one_go_on(page, folder, server):
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    opened(page, server)
    expect(page.locator("#message")).to_contain_text("a.png")
    expect(page.locator("#images .no-picture")).to_have_count(1)
    page.keyboard.press("n")
    expect(page.locator("#message")).to_contain_text("cannot be read")
    page.keyboard.press("r")
    expect(page.locator("#tally")).to_have_text("1 of 3")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
    click_at(page, 40, 30)
    expect(page.locator("#targets tr")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#title")).to_have_text("a")
    page.locator("#next").click()
    expect(page.locator("#title")).to_have_text("b")


def test_an_image_that_another_window_has_lets_one_go_on(page, server):
    opened(page, server)
    other = page.context.new_page()
    other.goto(server.address)
    expect(other.locator("#message")).to_contain_text("open in another window")
    other.keyboard.press("ArrowRight")
    expect(other.locator("#title")).to_have_text("b")
    click_at(other, 40, 30)
    expect(other.locator("#targets tr")).to_have_count(1)


def test_a_click_on_a_row_shows_its_target_in_the_middle(page, server):
    opened(page, server)
    for x, y in ((40, 30), (20, 80)):
        click_at(page, x, y)
    rows = page.locator("#targets tr")
    expect(rows).to_have_count(2)
    rows.nth(1).click()
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#readout")).to_have_text(re.compile(r"^(1[89]|2[0-2]), (7[89]|8[0-2]) "))
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
    expect(page.locator("#readout")).to_have_text("")  # of the image before


def test_j_goes_to_the_next_doubtful_target_and_on_to_later_images(page, server):
    rows = page.locator("#targets tr")
    opened(page, server)
    for x, y in ((40, 30), (90, 60), (20, 80)):
        click_at(page, x, y)
    expect(rows).to_have_count(3)
    page.keyboard.press("d")  # the third, which is selected
    expect(page.locator("#targets tr.doubtful")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
    page.keyboard.press("q")
    expect(page.locator("#tally")).to_have_text("1 of 3")
    page.keyboard.press("j")
    expect(page.locator("#title")).to_have_text("a")
    expect(rows.nth(2)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("j")
    expect(page.locator("#title")).to_have_text("b")


def test_keys_that_come_faster_than_answers_all_count(page, server):
    levels = page.locator("#targets td:nth-child(4)")
    opened(page, server)
    click_at(page, 40, 30)
    expect(levels).to_have_count(1)
    steps = [float(levels.inner_text())]
    for _ in range(4):
        page.keyboard.press("]")
        expect(levels).not_to_have_text(f"{steps[-1]:.2f}")
        steps.append(float(levels.inner_text()))
    for _ in range(4):
        page.keyboard.press("z")
    expect(levels).to_have_text(f"{steps[0]:.2f}")
    for key in ("]", "]", "]", "]", "d"):
        page.evaluate("key => dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))", key)
    expect(page.locator("#targets tr.doubtful")).to_have_count(1)
    expect(levels).to_have_text(f"{steps[-1]:.2f}")
    page.keyboard.press("[")  # a doubtful target that shrinks is as doubtful as before
    expect(levels).not_to_have_text(f"{steps[-1]:.2f}")
    expect(page.locator("#targets tr.doubtful")).to_have_count(1)


def test_a_held_key_finishes_one_image_and_a_key_without_a_target_says_what_is_missing(page, server):
    opened(page, server)
    for key in ("[", "d", "Delete"):
        page.keyboard.press("Escape")
        page.keyboard.press(key)
        expect(page.locator("#message")).to_contain_text("No target is selected")
    page.keyboard.down("Enter")
    for _ in range(20):
        page.keyboard.down("Enter")  # as the system repeats a key that is held
    page.keyboard.up("Enter")
    expect(page.locator("#title")).to_have_text("b")
    page.wait_for_timeout(300)
    expect(page.locator("#title")).to_have_text("b")
    expect(page.locator("#tally")).to_have_text("1 of 3")


def test_a_reload_opens_the_image_that_was_open(page, server):
    opened(page, server)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
    page.reload()
    expect(page.locator("#title")).to_have_text("b")


def test_a_server_that_ended_or_began_anew_is_told_without_a_key(page, folder, tmp_path):
    port = free_port()
    server = Server(folder, tmp_path / "out", port)
    opened(page, server)
    server.kill()
    expect(page.locator("#message")).to_contain_text("does not answer")
    server = Server(folder, tmp_path / "out", port)
    expect(page.locator("#message")).to_contain_text("open the address that `infraspot annotate` printed")
    server.kill()


def test_a_brush_goes_on_with_the_target_under_it_and_takes_nothing_from_others(page, server):
    opened(page, server)
    page.keyboard.press("b")
    drag(page, (70, 20), (73, 20))
    expect(page.locator("#targets td:nth-child(3)")).to_have_text("4 px")
    page.keyboard.press("Escape")
    drag(page, (73, 20), (73, 22))  # begins on the target
    expect(page.locator("#targets td:nth-child(3)")).to_have_text("6 px")
    page.keyboard.press("Escape")
    drag(page, (71, 23), (71, 18))  # another, that crosses it
    expect(page.locator("#targets td:nth-child(3)")).to_have_text(["6 px", "5 px"])
    page.keyboard.press("]")
    expect(page.locator("#targets td:nth-child(3)").nth(1)).not_to_have_text("5 px")
    assert areas(page)[0] == 6


def test_a_mask_that_cannot_shrink_says_so_and_costs_no_step_of_undo(page, server):
    rows = page.locator("#targets tr")
    opened(page, server)
    page.keyboard.press("b")
    drag(page, (70, 20), (70, 20))
    expect(page.locator("#targets td:nth-child(3)")).to_have_text("1 px")
    page.keyboard.press("[")
    expect(page.locator("#message")).to_contain_text("stays as it is")
    page.keyboard.press("z")
    expect(rows).to_have_count(0)


def test_a_wide_brush_paints_a_disc_and_its_width_changes_by_keys(page, server):
    opened(page, server)
    page.keyboard.press("b")
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(page.locator("#brush-size")).to_have_text("5 px")
    drag(page, (70, 20), (70, 20))
    expect(page.locator("#targets tr")).to_have_count(1)
    assert areas(page) == [21]  # 5x5 less the corners
    page.keyboard.press("-")
    page.keyboard.press("e")
    drag(page, (70, 20), (70, 20))
    expect(page.locator("#targets td:nth-child(3)")).to_have_text("12 px")  # less 3x3


def pixels_of(page, x, y, size, width, height):
    """The colours of the canvas around a pixel of the fitted frame, as (size, size, 3)."""
    left, top = on_screen(page, x, y, width, height)
    box = page.locator("#view").bounding_box()
    data = page.evaluate(
        """([x, y, size]) => Array.from(document.getElementById("view").getContext("2d")
            .getImageData(x - size / 2, y - size / 2, size, size).data)""",
        [round(left - box["x"]), round(top - box["y"]), size],
    )
    return np.array(data).reshape(size, size, 4)[..., :3]


def test_a_target_of_5_pixels_in_a_large_frame_is_marked_by_a_ring(tmp_path, rng):
    images = tmp_path / "frames"
    write_grey(images / "large.png", spots(rng, [(500, 700)], (1080, 1920)))
    server = Server(images, tmp_path / "out", free_port())
    try:
        with browser_page(1280, 720) as page:
            opened(page, server, "large")
            click_at_large = on_screen(page, 700, 500, 1920, 1080)
            page.mouse.click(*click_at_large)
            expect(page.locator("#targets tr")).to_have_count(1)
            page.keyboard.press("Escape")
            page.mouse.move(5, 5)
            page.wait_for_timeout(200)
            colours = pixels_of(page, 700, 500, 40, 1920, 1080).astype(int)
            green = (colours[..., 1] > 150) & (colours[..., 0] < 140)
            rows, columns = np.nonzero(green)
            assert 18 <= np.ptp(rows) <= 26
            assert 18 <= np.ptp(columns) <= 26
    finally:
        server.kill()


@pytest.mark.parametrize("tool", ["t", "b", "s"])
def test_everything_can_be_reached_at_1280x720(tool, server):
    with browser_page(1280, 720) as page:
        opened(page, server)
        page.keyboard.press("a")
        page.keyboard.press(tool)
        for control in page.locator("#panel button, #panel select, #panel input, #loupe").all():
            if control.is_visible():
                box = control.bounding_box()
                assert box["y"] >= 0
                assert box["y"] + box["height"] <= 720
                assert box["x"] + box["width"] <= 1280
        page.keyboard.press("?")
        close = page.locator("#help button").bounding_box()
        assert close["y"] + close["height"] <= 720


def test_a_method_that_is_being_compiled_keeps_the_click_and_blocks_no_key(page, folder, tmp_path):
    with served_here(folder, tmp_path / "out") as (background, address):
        rows = page.locator("#targets tr")
        page.goto(address)
        expect(page.locator("#title")).to_have_text("a")
        expect(page.locator("#looking")).to_contain_text("still being loaded")
        click_at(page, 40, 30)
        expect(page.locator("#message")).to_contain_text("still being prepared")
        page.keyboard.press("Enter")  # not done: a click waits
        expect(page.locator("#title")).to_have_text("a")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#title")).to_have_text("b")
        page.keyboard.press("n")
        expect(page.locator("#tally")).to_have_text("1 of 3")
        background.warm_up("profile")
        time.sleep(1)
        expect(rows).to_have_count(0)
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#title")).to_have_text("a")
        expect(rows).to_have_count(1)
        background.load_model()
        proposals_left(page, 2)


def test_clicks_and_proposals_accepted_too_early_are_taken_in_their_order(page, folder, tmp_path):
    with served_here(folder, tmp_path / "out") as (background, address):
        background.load_model()
        shown = page.locator("#targets td:nth-child(2)")
        page.goto(address)
        proposals_left(page, 3)
        for x, y in ((40, 30), (20, 80)):
            click_at(page, x, y)
        page.keyboard.press("a")
        expect(page.locator("#message")).to_contain_text("still being prepared")
        page.wait_for_timeout(1200)  # two tries come to nothing
        background.warm_up("profile")
        expect(shown).to_have_text(["40, 30", "20, 80", "90, 60"])
        expect(page.locator("#message")).to_be_hidden()
        page.keyboard.press("z")  # the last is what was accepted
        expect(shown).to_have_text(["40, 30", "20, 80"])


def test_progress_and_seconds_a_target_are_shown(page, server):
    opened(page, server)
    expect(page.locator("#pace")).to_have_text("")
    click_at(page, 40, 30)
    expect(page.locator("#pace")).to_contain_text("s a target")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("b")
    assert page.locator("#bar").evaluate("bar => bar.value / bar.max") == pytest.approx(1 / 3)


def test_the_page_learns_from_masks_that_are_grown_and_says_so(page, folder, tmp_path):
    port = free_port()
    server = Server(folder, tmp_path / "out", port)
    learned, box = page.locator("#learned"), page.locator("#learning")
    shown = page.locator("#targets td:nth-child(3)")
    opened(page, server, "a")
    expect(learned).to_contain_text("Grow or shrink masks")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
    click_at(page, 40, 30)
    expect(shown).to_have_count(1)
    [plain] = areas(page)
    page.keyboard.press("z")
    expect(shown).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#title")).to_have_text("a")
    for number, (y, x) in enumerate(PLACES, 1):
        click_at(page, x, y)
        expect(shown).to_have_count(number)
        for _ in range(4):
            before = areas(page)
            page.keyboard.press("]")
            expect(shown.nth(number - 1)).not_to_have_text(f"{before[-1]} px")
    expect(learned).to_contain_text("3 corrected targets: next masks wider")
    [*others, last] = areas(page)
    page.keyboard.press("z")  # one step of the third target: it still has a lesson
    expect(shown.nth(2)).not_to_have_text(f"{last} px")
    expect(learned).to_contain_text("3 corrected targets")
    corrected = areas(page)
    assert corrected[:2] == others
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
    click_at(page, 40, 30)
    expect(shown).to_have_count(1)
    [taught] = areas(page)
    assert taught > plain
    page.keyboard.press("l")
    expect(learned).to_contain_text("not used")
    expect(box).not_to_be_checked()
    page.keyboard.press("z")
    expect(shown).to_have_count(0)
    click_at(page, 40, 30)
    expect(shown).to_have_count(1)
    assert areas(page) == [plain]
    server.kill()
    server = Server(folder, tmp_path / "out", port)
    try:
        opened(page, server, "b")  # where this tab was
        page.keyboard.press("ArrowLeft")
        expect(shown).to_have_count(3)
        assert areas(page) == corrected  # what was accepted never moves
        expect(box).not_to_be_checked()
        box.click()
        expect(box).to_be_checked()
        expect(learned).to_contain_text("3 corrected targets: next masks wider")
        page.locator("#format").select_option("level")
        page.locator("#export").click()
        expect(page.locator("#message")).to_contain_text("the level of 3 corrected targets")
        assert (tmp_path / "out" / "export" / "level" / "level.json").is_file()
    finally:
        server.kill()


def test_a_slider_that_was_moved_keeps_no_keys_from_the_page(page, server):
    opened(page, server)
    page.locator("#level").fill("0.4")
    page.locator("#level").dispatch_event("change")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#title")).to_have_text("b")
