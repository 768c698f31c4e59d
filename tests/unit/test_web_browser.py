"""The annotation page in a real browser, against a real server that is killed in the middle."""

import numpy as np
import pytest
from web_fakes import BROWSER_MARKS, Server, areas, browser_page, click_at, drag, free_port, spots

from infraspot.data import read_mask, write_grey

expect = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's core package is not installed"
).expect
pytestmark = BROWSER_MARKS


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def folder(tmp_path, rng):
    image = spots(rng, [(30, 40), (60, 90)])
    images = tmp_path / "frames"
    write_grey(images / "a.png", image)
    write_grey(images / "b.png", image[::-1])
    return images


@pytest.fixture
def page():
    with browser_page() as page:
        yield page


def test_click_grow_undo_save_and_a_killed_server_lose_nothing(folder, tmp_path, port, page):
    server, rows = Server(folder, tmp_path / "out", port), page.locator("#targets tr")
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        click_at(page, 40, 30)
        expect(rows).to_have_count(1)
        areas_shown = page.locator("#targets td:nth-child(3)")
        before = areas(page)
        page.keyboard.press("]")
        expect(areas_shown).not_to_have_text(f"{before[0]} px")
        assert areas(page)[0] > before[0]
        page.keyboard.press("z")
        expect(areas_shown).to_have_text(f"{before[0]} px")
        click_at(page, 90, 60)
        expect(rows).to_have_count(2)
        server.kill()
        server = Server(folder, tmp_path / "out", port)
        page.goto(server.address)
        expect(rows).to_have_count(2)
        assert areas(page)[0] == before[0]
        page.keyboard.press("Enter")
        expect(page.locator("#title")).to_have_text("b")
        expect(page.locator("#tally")).to_have_text("1 of 2")
    finally:
        server.kill()


def export_masks(page, out):
    """The folder of masks that the page's export wrote."""
    page.locator("#format").select_option("masks")
    page.locator("#export").click()
    expect(page.locator("#message")).to_contain_text("1 image")
    return out / "export" / "masks"


def test_brush_eraser_and_sky_draw_what_the_mouse_passes(folder, tmp_path, port, page):
    server, rows = Server(folder, tmp_path / "out", port), page.locator("#targets tr")
    area = page.locator("#targets td:nth-child(3)")
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        page.keyboard.press("b")
        drag(page, (20, 80), (25, 80), (25, 83))
        expect(rows).to_have_count(1)
        expect(area).to_have_text("9 px")
        page.keyboard.press("z")
        expect(rows).to_have_count(0)
        drag(page, (20, 80), (25, 80), step=5)
        expect(area).to_have_text("6 px")
        drag(page, (25, 80), (25, 83), step=3)
        expect(area).to_have_text("9 px")
        page.keyboard.press("e")
        drag(page, (20, 80), (21, 80))
        expect(area).to_have_text("7 px")
        page.keyboard.press("z")
        expect(area).to_have_text("9 px")
        page.keyboard.press("Shift+Z")
        expect(area).to_have_text("7 px")
        page.keyboard.press("s")
        expect(page.locator("#sky-row")).to_be_visible()
        drag(page, (0, 0), (127, 0), (127, 47), (0, 47), (0, 0), step=8)
        page.keyboard.down("Alt")
        drag(page, (40, 10), (60, 10), (60, 30), (40, 30), (40, 10), step=5)
        page.keyboard.up("Alt")
        page.locator("#statuses [data-status=done]").click()
        expect(page.locator("#tally")).to_have_text("1 of 2")
        masks = export_masks(page, tmp_path / "out")
        mask, sky = read_mask(masks / "a.png"), read_mask(masks / "sky" / "a.png")
        assert sorted(zip(*np.nonzero(mask), strict=True)) == [
            (80, 22), (80, 23), (80, 24), (80, 25), (81, 25), (82, 25), (83, 25),
        ]  # fmt: skip
        assert sky[2:9, 2:126].all()
        assert not sky[13:28, 43:58].any()
        assert not sky[50:].any()
    finally:
        server.kill()


def test_uncertain_images_come_first_on_demand(folder, tmp_path, port, page, rng):
    ys, xs = np.mgrid[:96, :128]
    for name, contrast in (("c", 0.03), ("d", 0.08), ("e", 0.0)):
        image = 0.2 + 0.01 * rng.standard_normal((96, 128))
        write_grey(folder / f"{name}.png", image + contrast * np.exp(-((ys - 40) ** 2 + (xs - 50) ** 2) / 4))
    server = Server(folder, tmp_path / "out", port)
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        found = [{"uncertainty": None}]
        while any(row["uncertainty"] is None for row in found):
            page.wait_for_timeout(200)
            found = page.evaluate("""async () => (await (await fetch("/api/images")).json()).images""")
        expected = [row["image"] for row in sorted(found, key=lambda row: -row["uncertainty"])]
        assert expected[0] not in ("a", "e"), found
        page.locator("#order").select_option("uncertainty")
        names = page.locator("#images li b")
        expect(names).to_have_text(expected, timeout=10_000)
        page.locator("#images li").first.click()
        expect(page.locator("#title")).to_have_text(expected[0])
        page.locator("#next").click()
        expect(page.locator("#title")).to_have_text(expected[1])
    finally:
        server.kill()


def test_a_second_window_on_the_same_image_is_refused_in_words(folder, tmp_path, port, page):
    server = Server(folder, tmp_path / "out", port)
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        other = page.context.new_page()
        other.goto(server.address)
        other.wait_for_selector("#message:not([hidden])")
        assert "open in another window" in other.locator("#message").inner_text()
    finally:
        server.kill()


def test_adapting_says_how_many_labels_it_takes(folder, tmp_path, port, page):
    server = Server(folder, tmp_path / "out", port)
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        page.locator("#adapt").click()
        expect(page.locator("#message")).to_contain_text("takes 2 or more images that are done")
        expect(page.locator("#adapt")).to_have_text("Adapt to my labels")
        expect(page.locator("#adapting")).to_be_hidden()
    finally:
        server.kill()
