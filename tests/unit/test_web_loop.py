"""One loop without seams: detect, correct in the browser, train on the corrections, detect again."""

import json

import pytest
from web_fakes import BROWSER_MARKS, Server, browser_page, click_at, free_port, on_screen

from infraspot.cli.main import main
from infraspot.data import open_dataset, write_grey
from infraspot.synth import SceneRanges, generate

expect = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's core package is not installed"
).expect
pytest.importorskip("torch", reason="torch is not installed")
pytestmark = BROWSER_MARKS
WIDTH, HEIGHT, SCENES = 128, 96, 3


def test_detect_correct_train_and_detect_again(tmp_path, capsys):
    frames, found, out = tmp_path / "frames", tmp_path / "found", tmp_path / "frames.annotation"
    truth = {}
    for scene in generate(SCENES, 7, SceneRanges(size=(WIDTH, HEIGHT))):
        for sample in scene.frames:
            write_grey(frames / f"{sample.id}.png", sample.image)
            truth[sample.id] = sample
    assert main(["detect", str(frames), "--out", str(found)]) == 0
    assert main(["annotate", str(frames), "--import", str(found), "--no-open"]) == 0

    detected = {image: json.loads((found / f"{image}.json").read_text())["targets"] for image in truth}
    server = Server(frames, out, free_port())
    try:
        with browser_page() as page:
            page.goto(server.address)
            rows = page.locator("#targets tr")
            for image in sorted(truth):
                expect(page.locator("#title")).to_have_text(image)
                count = len(detected[image])
                expect(rows).to_have_count(count)
                if count == 0:
                    page.keyboard.press("n")
                page.keyboard.press("Enter" if count else "ArrowRight")
            expect(page.locator("#tally")).to_have_text(f"{SCENES} of {SCENES}")
            page.keyboard.press("b")  # one correction by hand in the last image
            page.mouse.click(*on_screen(page, 5, 5, WIDTH, HEIGHT))
            expect(rows).to_have_count(len(detected[max(truth)]) + 1)
            page.keyboard.press("Enter")
            page.locator("#format").select_option("dataset")
            page.locator("#export").click()
            expect(page.locator("#message")).to_contain_text(f"{SCENES} images")
    finally:
        server.kill()

    corrected = open_dataset(out / "export" / "dataset")
    last = corrected[corrected.ids.index(max(truth))]
    assert last.mask[5, 5]
    run = tmp_path / "run"
    recipe = ["train", "smoke", "--data", str(out / "export" / "dataset"), "--out", str(run)]
    assert (
        main(
            [*recipe, "--set", "train.epochs=1", "--set", "train.evaluate_every=1", "--set", "train.batch=2"]
        )
        == 0
    )
    assert main(["detect", str(frames), "--model", str(run), "--out", str(tmp_path / "again")]) == 0
    assert len(list((tmp_path / "again").glob("*.json"))) == SCENES
    capsys.readouterr()

    server = Server(frames, out, free_port(), "--model", str(run))
    try:
        with browser_page() as page:
            page.goto(server.address)
            expect(page.locator("#looking")).to_contain_text("proposal")
            click_at(page, 5, 5)
    finally:
        server.kill()
