"""About 2,000 calls with what does not fit: each is answered by a sentence, none by a traceback or a hang."""

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import infraspot
from infraspot.annotators import ANNOTATORS, annotate
from infraspot.annotators.diffusion_field import DiffusionParameters
from infraspot.classical import CLASSICAL
from infraspot.classical.threshold import cfar, k_sigma
from infraspot.core.errors import InfraspotError

pytestmark = pytest.mark.slow


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise ValueError("no words for it")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no array of it")


def frame() -> np.ndarray:
    image = np.full((40, 44), 0.3, np.float32)
    image[20:23, 20:23] = 0.8
    return image


def spoilt(value: float) -> np.ndarray:
    image = frame()
    image[5, 5] = value
    return image


HUGE = 10**5000
IMAGES: dict[str, Any] = {
    "none": None,
    "text": "frame.png",
    "bytes": b"frame",
    "number": 3,
    "list": [[0.1, 0.2], [0.3, 0.4]],
    "ragged": [[1], [2, 3]],
    "dict": {},
    "function": len,
    "hostile": Hostile(),
    "no dimension": np.float32(0.5),
    "one dimension": np.zeros(9, np.float32),
    "three dimensions": np.zeros((9, 9, 3), np.uint8),
    "batch": np.zeros((1, 1, 9, 9), np.float32),
    "empty": np.zeros((0, 0), np.float32),
    "no rows": np.zeros((0, 7), np.uint8),
    "no columns": np.zeros((7, 0), np.uint16),
    "all nan": np.full((9, 9), np.nan, np.float32),
    "negative": spoilt(-0.5),
    "above one": spoilt(1.5),
    "grey levels as floats": frame() * 255,
    "complex": frame().astype(np.complex64),
    "bool": frame() > 0.5,
    "signed": np.ones((9, 9), np.int16),
    "object": np.array([[None, 1], [2, 3]], object),
    "strings": np.array([["a", "b"], ["c", "d"]]),
    "dates": np.zeros((3, 3), "datetime64[s]"),
    "records": np.zeros((3, 3), [("a", "f4"), ("b", "f4")]),
}
UNFINISHED: dict[str, Any] = {
    "one nan": spoilt(np.nan),
    "one infinite": spoilt(np.inf),
    "minus infinite": spoilt(-np.inf),
    "half precision with nan": spoilt(np.nan).astype(np.float16),
}
"""Annotators repair these by the median of the other pixels; detectors refuse them."""
CLICKS: dict[str, Any] = {
    "none": None,
    "text": "3,4",
    "texts": [("3", "4")],
    "number": 5,
    "one point bare": (3, 4),
    "three numbers": [(1, 2, 3)],
    "ragged": [(1, 2), (3,)],
    "nan": [(np.nan, 3)],
    "infinite": [(np.inf, 3)],
    "outside": [(3, 400)],
    "negative": [(-2, 3)],
    "complex": np.array([[1j, 2]]),
    "bool": np.array([[True, False]]),
    "object": np.array([[None, 1]], object),
    "huge": [(HUGE, 3)],
    "large": [(10**400, 3)],
    "dict": {"y": 3, "x": 4},
    "set": {3, 4},
    "hostile": Hostile(),
    "three dimensions": np.zeros((1, 1, 2)),
    "points without coordinates": np.zeros((3, 0)),
    "generator": (point for point in [(1, 2)]),
}
VALUES: dict[str, Any] = {
    "none": None,
    "text": "many",
    "zero": 0,
    "negative": -3,
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": HUGE,
    "bool": True,
    "list": [1, 2],
    "array": np.ones(3),
    "hostile": Hostile(),
}
OPTIONS: dict[str, list[str]] = {
    "tophat": ["size"],
    "maxmean": ["reach"],
    "maxmedian": ["reach"],
    "lcm": ["cells"],
    "mpcm": ["cells"],
    "admd": ["cells"],
    "ilcm": ["block"],
    "rlcm": ["cell", "largest"],
    "ipi": ["size", "step", "weight", "tolerance", "steps"],
    "nram": ["size", "step", "weight", "tolerance", "steps"],
    "nolc": ["size", "step", "weight", "power", "tolerance", "steps"],
    "ript": ["size", "step", "weight", "edge_cost", "faintest", "tolerance", "steps"],
    "pstnn": ["size", "step", "weight", "kept", "faintest", "tolerance", "steps"],
}
SENSIBLE = {
    *((name, "zero") for name in ("weight", "tolerance", "edge_cost", "kept")),
    ("kept", "none"),
}
"""Values of the list that an option may well have."""
LEVELS: dict[str, Any] = {
    **{name: value for name, value in VALUES.items() if name != "hostile"},
    "one": 1,
    "empty": "",
    "no such file": "nowhere.json",
    "null byte": "a\0b",
    "long name": "x" * 5000,
    "a folder": os.sep,
    "no preset": "preset:",
    "preset elsewhere": "preset:../scorer",
    "dict": {"level": 0.3},
    "hostile": Hostile(),
}
METHODS: dict[str, Any] = {
    "none": None,
    "number": 3,
    "list": ["profile"],
    "empty": "",
    "unknown": "profil",
    "no such module": "nowhere:annotate",
    "no such attribute": "math:annotate",
    "no module": ":annotate",
    "relative": "..above:annotate",
    "only a colon": ":",
    "not a function": "math:pi",
    "hostile": Hostile(),
}


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """The call is answered by one of our errors, in a sentence of sane length."""
    with pytest.raises(InfraspotError) as error:
        call(*arguments, **options)
    assert 10 < len(str(error.value)) < 600


@pytest.mark.parametrize("image", list(IMAGES | UNFINISHED))
def test_detectors_refuse_odd_images(image: str) -> None:
    for detector in CLASSICAL.values():
        for polarity in ("bright", "both"):
            refused(detector, (IMAGES | UNFINISHED)[image], polarity=polarity)
    refused(infraspot.detect, (IMAGES | UNFINISHED)[image])


@pytest.mark.parametrize("image", list(IMAGES))
def test_annotators_refuse_odd_images(image: str) -> None:
    for method in ANNOTATORS:
        refused(annotate, IMAGES[image], [(1, 1)], method)


@pytest.mark.parametrize("image", list(UNFINISHED))
def test_annotators_repair_pixels_that_are_not_finite(image: str) -> None:
    for method in ANNOTATORS:
        assert np.isfinite(annotate(UNFINISHED[image], [(21, 21)], method).soft).all()


@pytest.mark.parametrize("clicks", list(CLICKS))
def test_annotators_refuse_odd_clicks(clicks: str) -> None:
    for method in ANNOTATORS:
        refused(annotate, frame(), CLICKS[clicks], method)


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_detectors_refuse_odd_options(name: str) -> None:
    for polarity in ("grey", "", None, 1, ["bright"], np.array(["bright"]), Hostile()):
        refused(CLASSICAL[name], frame(), polarity=polarity)
    for option in OPTIONS[name]:
        for kind, value in VALUES.items():
            if (option, kind) not in SENSIBLE:
                refused(CLASSICAL[name], frame(), **{option: value})


@pytest.mark.parametrize("kind", list(VALUES))
def test_odd_thresholds_are_refused(kind: str) -> None:
    response = np.zeros((9, 9), np.float32)
    if kind != "zero":
        refused(k_sigma, response, VALUES[kind])
    refused(cfar, response, VALUES[kind])


def test_every_detector_and_option_is_attacked() -> None:
    import inspect

    found = {
        name: [key for key in inspect.signature(detector).parameters if key not in ("image", "polarity")]
        for name, detector in CLASSICAL.items()
    }
    assert found == OPTIONS


@pytest.mark.parametrize("level", list(LEVELS))
def test_odd_levels_are_refused(level: str) -> None:
    refused(annotate, frame(), [(21, 21)], level=LEVELS[level])


@pytest.mark.parametrize("method", list(METHODS))
def test_odd_methods_are_refused(method: str) -> None:
    refused(annotate, frame(), [(21, 21)], METHODS[method])


@pytest.mark.parametrize("kind", list(VALUES))
def test_odd_options_of_annotators_are_refused(kind: str) -> None:
    value = VALUES[kind]
    for method in ("mclc", "diffusion-mc"):
        refused(annotate, frame(), [(21, 21)], method, size_prior=value)
        refused(annotate, frame(), [(21, 21)], method, size_prior="oracle", areas=value)
        refused(annotate, frame(), [(21, 21)], method, size_prior="oracle", areas=[value])
        if kind != "zero":
            refused(annotate, frame(), [(21, 21)], method, seed=value)
    if kind != "none":
        refused(annotate, frame(), [(21, 21)], "diffusion", theta=value)
    for field in ("d0", "beta", "alpha", "rho", "steps", "tau"):
        if (field, kind) not in (("alpha", "zero"), ("rho", "zero")):
            refused(DiffusionParameters, **{field: value})
    for method in ANNOTATORS:
        refused(annotate, frame(), [(21, 21)], method, colour=value)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '"text"', "[" * 100_000, '{"format": "infraspot-level-1"}', "\0" * 50,
        '{"format": "infraspot-level-1", "about": 3}', " " * 10_000_001,
    ],
    ids=range(11),
)  # fmt: skip
def test_files_that_are_no_level_are_refused(text: str, tmp_path) -> None:
    path = tmp_path / "level.json"
    path.write_text(text)
    refused(annotate, frame(), [(21, 21)], level=str(path))


@pytest.mark.parametrize("name", ["reads", "mean", "scale", "hidden", "hidden_bias", "out", "about"])
@pytest.mark.parametrize(
    "kind", ["missing", "none", "text", "number", "empty", "nan", "huge", "short", "dict"]
)
def test_level_files_with_an_odd_part_are_refused(name: str, kind: str, tmp_path) -> None:
    from infraspot.annotators.profile.level import PRESETS

    whole = json.loads((PRESETS / "sirst-v1.json").read_text())
    if name == "about" and kind in ("empty", "dict", "short"):
        pytest.skip("what a level tells about itself may be any dict")
    odd = {
        "none": None, "text": "text", "number": 3, "empty": [], "dict": {"a": 1},
        "nan": [float("nan")] * len(whole[name]), "huge": [10**400], "short": list(whole[name])[:-1],
    }  # fmt: skip
    whole.pop(name)
    if kind != "missing":
        whole[name] = odd[kind]
    path = tmp_path / "level.json"
    path.write_text(json.dumps(whole))
    refused(annotate, frame(), [(21, 21)], level=str(path))


def test_a_level_of_another_number_of_features_is_refused(tmp_path) -> None:
    from infraspot.annotators.profile.level_file import save_level
    from infraspot.annotators.profile.scorer import Scorer

    three = np.zeros(3), np.ones(3), np.ones((1, 3, 2)), np.zeros((1, 2)), np.ones((1, 2))
    save_level(Scorer(("level", "rim"), *three), tmp_path / "level.json")
    refused(annotate, frame(), [(21, 21)], level=str(tmp_path / "level.json"))


@pytest.mark.parametrize(
    "targets",
    [
        None, [], {}, "text", 3, [3], [[]], [[0.1, 0.01, 20]], [[0.1, 0.01, 20, 1.5]], [[0, 0.01, 20, 0.3]],
        [["a", "b", "c", "d"]], [[True, 0.01, 20, 0.3]], [[float("nan"), 0.01, 20, 0.3]],
        [[10**400, 0.01, 20, 0.3]], [[0.1, -1, 20, 0.3]], [[0.1, 0.01, 20, None]],
        [[0.1, 0.01, 20, 0.3]] * 100_001,
    ],
    ids=range(17),
)  # fmt: skip
def test_conventions_with_odd_targets_are_refused(targets: object, tmp_path) -> None:
    path = tmp_path / "level.json"
    path.write_text(json.dumps({"format": "infraspot-convention-1", "about": {}, "targets": targets}))
    refused(annotate, frame(), [(21, 21)], level=str(path))
