"""The Python examples of the README and of the site do what they show, on generated scenes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import infraspot
from infraspot.data import write_grey
from infraspot.synth import SceneRanges

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = {
    path.relative_to(ROOT).as_posix(): BLOCK.findall(path.read_text(encoding="utf-8"))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
EXAMPLES = {name: blocks for name, blocks in PAGES.items() if blocks}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with what the pages take as given: frames, scenes, stacks of three pages, a raw recording."""
    monkeypatch.chdir(tmp_path)
    for folder in ("scenes", "SIRST3"):
        infraspot.write_scenes(folder, 5, ranges=SceneRanges(size=(64, 64)))
    images = sorted(Path("scenes/images").glob("*.png"))
    for number, path in enumerate(images):
        Path("frames").mkdir(exist_ok=True)
        (Path("frames") / f"f{number}.png").write_bytes(path.read_bytes())
    Path("masks").mkdir()
    for number, path in enumerate(sorted(Path("scenes/masks").glob("*.png"))):
        (Path("masks") / f"f{number}.png").write_bytes(path.read_bytes())
    frame = np.full((240, 320), 0.3)
    frame[73:76, 70:72] = frame[132:135, 219:222] = 0.9
    write_grey(Path("frame.png"), frame)
    pages = [Image.fromarray((frame * shade * 255).astype(np.uint8)) for shade in (1, 0.9, 0.8)]
    Path("recordings").mkdir()
    for name in ("film.tif", "recordings/film.tif", "frame.tif"):
        pages[0].save(name, save_all=True, append_images=pages[1:])
    np.zeros((3, 512, 640), np.uint16).tofile("film.raw")
    return tmp_path


def given() -> dict[str, object]:
    """The names that the pages use without making them."""
    image = np.full((64, 64), 0.3, np.float32)
    image[30:33, 40:43] = 0.9
    return {
        "image": image,
        "points": [(31, 41)],
        "y": 31,
        "x": 41,
        "level": 0.4,
        "frames": [(image, image > 0.5)],
        "boxes": [(40, 30, 43, 33)],
        "scores": [0.9],
        "height": 64,
        "width": 64,
        "truth": image > 0.5,
        "path": "film.tif",
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_of_a_page_run_one_after_the_other(page: str, place: Path, capsys) -> None:
    names = given()
    for number, block in enumerate(EXAMPLES[page], 1):
        exec(compile(block, f"{page}, example {number}", "exec"), names)


def test_the_pages_for_python_have_examples() -> None:
    assert {"README.md", "docs/index.md", "docs/python.md"} <= set(EXAMPLES)
