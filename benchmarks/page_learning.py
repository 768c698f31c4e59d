"""What the annotation page proposes after a person has corrected some targets, through the page's own server.

    python benchmarks/page_learning.py SIRST_V1 SIRST_V2 [--draws 20] [--corrected 1,2,5,10]

Both folders have lists of train and val. A simulated person takes targets in an order that is drawn anew
each time, clicks the centre, and grows or shrinks the mask by key presses while it gets closer to the truth.
A target that needs no key press is accepted and teaches nothing. After so many corrected targets the page is
asked for the masks of all targets in images (SIRST-v1) or sequences (SIRST-V2) that were not touched. The
networks of ``auto`` are refitted in five folds; those that serve an image never saw it or its sequence.

IoU is that of all pixels together. Printed are its mean over the draws with the range of the middle 95 % of
them, and a 95 % interval of the mean from resampled images or sequences. Lines ``name=value`` come last.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from annotator_levels import FOLDS, by_image, by_sequence, fit, table_of
from infraspot.annotators.profile import level
from infraspot.annotators.profile.fitting import folds_by_image
from infraspot.annotators.profile.scorer import Scorer
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.web.background import Background
from infraspot.web.runs import Patch, to_mask
from infraspot.web.server import cookie_name, make_app
from infraspot.web.session import Session

PORT, TOKEN, WINDOW = 8765, "benchmark", "person"
ORIGIN = f"http://127.0.0.1:{PORT}"
MOST_PRESSES = 30
RESAMPLED = 1000


@dataclass(frozen=True, eq=False)
class Labelled:
    """A frame with targets.

    ``group`` is what it is kept together with; ``centres`` are (y, x) of the true targets.
    """

    image: str
    group: str
    targets: list[NDArray[np.bool_]]
    centres: NDArray[np.float64]


def labelled(folder: str, key: Callable[[Sample], str]) -> list[Labelled]:
    found = []
    for split in ("train", "val"):
        reader = open_dataset(folder, split=split)
        for index in range(len(reader)):
            sample = reader[index] if reader.has_mask(index) else None
            if sample is None or sample.mask is None or not sample.mask.any():
                continue
            parts = find_components(sample.mask)
            masks = [parts.labels == number + 1 for number in range(len(parts))]
            found.append(Labelled(sample.id, key(sample), masks, parts.centroids))
    return found


class Page:
    """The page of a folder without its browser: the same requests, in the same order."""

    def __init__(self, images: Path, out: Path, scorers: dict[str, Scorer]) -> None:
        self.session, self.scorers = Session(images, out), scorers
        background = Background(self.session)
        background.ready.add("profile")
        app = make_app(self.session, TOKEN, PORT, background)
        self.client = TestClient(app, base_url=ORIGIN, headers={"origin": ORIGIN})
        self.client.cookies.set(cookie_name(PORT), TOKEN)

    def post(self, image: str, deed: str, **body: Any) -> dict[str, Any]:
        level.automatic = lambda: self.scorers[image]  # the networks that never saw this image
        answer = self.client.post(f"/api/images/{image}/{deed}", json={"window": WINDOW, **body})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def correct(self, frame: Labelled, number: int) -> bool:
        """Mark a target and press keys while its mask gets better; whether any key was pressed."""
        y, x = frame.centres[number]
        truth = frame.targets[number]
        version = self.post(frame.image, "open")["version"]
        click = {"id": number + 1, "x": float(x), "y": float(y), "method": "profile"}
        best = self.post(frame.image, "click", **click)
        presses = 0
        for direction in (1, -1):
            while presses < MOST_PRESSES:
                target = self.post(frame.image, "click", **click, level=best["level"], grow=direction)
                if overlap(target, truth) <= overlap(best, truth):
                    break
                best, presses = target, presses + 1
        self.post(frame.image, "act", version=version, action={"kind": "put", "target": best})
        return presses > 0

    def proposals(self, frame: Labelled) -> NDArray[np.int64]:
        """(2,) pixels that the masks offered have in common with the truth, and pixels of either."""
        places = [{"y": float(y), "x": float(x)} for y, x in frame.centres]
        found = self.post(frame.image, "clicks", id=1, method="profile", places=places)["targets"]
        truth = np.logical_or.reduce(frame.targets)
        mask = to_mask([Patch.model_validate(target["patch"]) for target in found], truth.shape)
        return np.array([(mask & truth).sum(), (mask | truth).sum()])


def overlap(target: dict[str, Any], truth: NDArray[np.bool_]) -> float:
    mask = to_mask([Patch.model_validate(target["patch"])], truth.shape)
    return float((mask & truth).sum() / (mask | truth).sum())


@contextmanager
def opened(images: Path, scorers: dict[str, Scorer]) -> Iterator[Page]:
    with tempfile.TemporaryDirectory() as out:
        page = Page(images, Path(out), scorers)
        yield page
        page.session.journal.close()


def simulate(
    images: Path, frames: Sequence[Labelled], scorers: dict[str, Scorer], wanted: Sequence[int], draw: int
) -> dict[int, dict[str, NDArray[np.int64]]]:
    """For each number of corrected targets, the pixels of each group of images that were not touched."""
    places = [(index, number) for index, frame in enumerate(frames) for number in range(len(frame.targets))]
    found: dict[int, dict[str, NDArray[np.int64]]] = {}
    touched: set[str] = set()
    with opened(images, scorers) as page:
        corrected = 0
        for place in np.random.default_rng(draw).permutation(len(places)):
            index, number = places[place]
            touched.add(frames[index].group)
            if page.correct(frames[index], number):
                corrected += 1
                if corrected in wanted:
                    found[corrected] = pixels(page, [one for one in frames if one.group not in touched])
            if corrected == max(wanted):
                break
    return found


def pixels(page: Page, frames: Sequence[Labelled]) -> dict[str, NDArray[np.int64]]:
    sums: dict[str, NDArray[np.int64]] = {}
    for frame in frames:
        sums[frame.group] = sums.get(frame.group, np.zeros(2, np.int64)) + page.proposals(frame)
    return sums


def iou(sums: dict[str, NDArray[np.int64]]) -> float:
    common, either = sum(sums.values(), np.zeros(2))
    return float(common / either)


def interval(draws: Sequence[dict[str, NDArray[np.int64]]]) -> tuple[float, float]:
    """Of the mean over draws, 95 % of resampled groups."""
    groups = sorted({group for sums in draws for group in sums})
    table = np.array([[sums.get(group, (0, 0)) for group in groups] for sums in draws], float)
    rng, means = np.random.default_rng(0), []
    for _ in range(RESAMPLED):
        common, either = table[:, rng.integers(len(groups), size=len(groups))].sum(1).T
        means.append(float((common / either).mean()))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def scorers_of(first: str, second: str, frames: dict[str, list[Labelled]]) -> dict[str, dict[str, Scorer]]:
    """The networks for each image of each set, from folds that keep an image or a sequence together."""
    tables = {"v1": table_of(first, by_image), "v2": table_of(second, by_sequence)}
    folds = {name: folds_by_image(table.examples.group, FOLDS, 0) for name, table in tables.items()}
    fold_of: dict[str, dict[str, int]] = {}
    for name, table in tables.items():
        order = list(dict.fromkeys(frame.group for frame in frames[name]))
        by_number = dict(zip(table.examples.group.tolist(), folds[name].tolist(), strict=True))
        fold_of[name] = {frame.image: by_number[order.index(frame.group)] for frame in frames[name]}
    fitted = []
    for k in range(FOLDS):
        known = [table.examples.take(folds[name] != k) for name, table in tables.items()]
        fitted.append(fit(*known, seed=k))
    return {name: {image: fitted[k] for image, k in of.items()} for name, of in fold_of.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", metavar="SIRST_V1")
    parser.add_argument("second", metavar="SIRST_V2")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--corrected", default="1,2,5,10")
    arguments = parser.parse_args()
    wanted = [int(number) for number in arguments.corrected.split(",")]
    frames = {"v1": labelled(arguments.first, by_image), "v2": labelled(arguments.second, by_sequence)}
    scorers = scorers_of(arguments.first, arguments.second, frames)
    figures = {}
    for name, folder in (("v1", arguments.first), ("v2", arguments.second)):
        images = Path(folder) / "images"
        with opened(images, scorers[name]) as page:
            before = [pixels(page, frames[name])]
        draws = [
            simulate(images, frames[name], scorers[name], wanted, draw) for draw in range(arguments.draws)
        ]
        for count in (0, *wanted):
            sums = before if count == 0 else [draw[count] for draw in draws if count in draw]
            ious = [iou(one) for one in sums]
            low, high = interval(sums)
            spread = np.quantile(ious, (0.025, 0.975))
            print(
                f"{name} {count:3d} corrected: IoU {100 * np.mean(ious):.1f}, draws {100 * spread[0]:.1f} to"
                f" {100 * spread[1]:.1f}, interval {100 * low:.1f} to {100 * high:.1f}",
                flush=True,
            )
            figures[f"{name}_{count}_iou"] = float(np.mean(ious))
            figures[f"{name}_{count}_low"], figures[f"{name}_{count}_high"] = low, high
    for key, value in figures.items():
        print(f"{key}={value:.4f}")


if __name__ == "__main__":
    main()
