"""Laws over every detector of boxes, in a small form of each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infraspot.core.errors import InfraspotError
from infraspot.detection import DETECTORS, Detector, Wanted
from infraspot.detection.dense import DECODERS, DenseDetector
from infraspot.detection.rcnn import FasterRCNN
from infraspot.detection.transformers_detr import SetDetector
from infraspot.inference.box_engines import TorchBoxEngine
from infraspot.inference.export_boxes import export_detector

PYRAMID: dict[str, Any] = {"backbone": "resnet10", "strides": (4, 8), "width": 16}
TOWERS = PYRAMID | {"depth": 1}
REGIONS = PYRAMID | {"hidden": 16, "scale": 1.0, "proposals": 40}

QUERIES: dict[str, Any] = {
    "backbone": "resnet10",
    "width": 64,
    "heads": 4,
    "hidden": 32,
    "layers": 2,
    "queries": 12,
}

SMALL: dict[str, dict[str, Any]] = {
    "atss": TOWERS | {"scale": 1.0},
    "autoassign": TOWERS,
    "bafe": TOWERS,
    "cascade-rcnn": REGIONS,
    "centernet": TOWERS,
    "dyhead": PYRAMID | {"blocks": 1, "scale": 1.0},
    "dynamic-rcnn": REGIONS,
    "faster-rcnn": REGIONS,
    "libra-rcnn": REGIONS,
    "efficientdet": TOWERS | {"backbone": "compact", "strides": (8, 16, 32), "stages": 1, "scale": 0.5},
    "ddod": TOWERS | {"scale": 1.0},
    "fcos": TOWERS,
    "grid-rcnn": REGIONS | {"each": 4, "looked": 10},
    "gfl": TOWERS | {"scale": 1.0},
    "paa": TOWERS | {"scale": 1.0},
    "retinanet": TOWERS | {"scale": 1.0},
    "rtmdet": TOWERS | {"strides": (8, 16, 32)},
    "sabl": REGIONS,
    "sparse-rcnn": PYRAMID
    | {"strides": (4, 8, 16, 32), "proposals": 12, "stages": 2, "hidden": 16, "narrow": 4},
    "ssd": {"backbone": "resnet10", "strides": (4, 8, 16, 32, 64), "scale": 1.0},
    "tood": TOWERS | {"depth": 2},
    "tridentnet": {"backbone": "resnet10", "scale": 0.2, "proposals": 12},
    "vfnet": TOWERS | {"scale": 1.0},
    "yolov3": {"backbone": "resnet10", "strides": (8, 16, 32), "scale": 0.4},
    "yolox": {"wide": 0.125, "strides": (4, 8, 16, 32), "width": 16},
    **{name: QUERIES for name, detector in DETECTORS.items() if issubclass(detector, SetDetector)},
    "yolof": PYRAMID | {"strides": (32,), "width": 32, "scale": 0.125},
}
"""The options of a small form of each detector."""

CASES: dict[str, Callable[[], Detector]] = {
    **{name: partial(DETECTORS[name], **options) for name, options in SMALL.items()},
    "fcos, nearest": partial(DETECTORS["fcos"], **TOWERS, nearest=True),
    **{
        f"{host}, {assigner}": partial(DETECTORS[host], **SMALL[host], assigner={"name": assigner})
        for host, assigner in (
            ("fcos", "simota"),
            ("fcos", "dynamic_soft"),
            ("atss", "cell"),
            ("atss", "nearest_anchors"),
        )
    },
    "bafe, gated": partial(DETECTORS["bafe"], **TOWERS, selection="gated"),
    "bafe, spatial": partial(DETECTORS["bafe"], **TOWERS, exchange="spatial+channel", selection="fixed"),
}


# Their boxes are read at places that move, or chosen from proposals: no numbers of one place make a box.
MOVED = {"tood", "yolox", "sparse-rcnn"}
MOVED |= {name for name, detector in DETECTORS.items() if issubclass(detector, FasterRCNN | SetDetector)}


def make(name: str) -> Detector:
    if name in DETECTORS and issubclass(DETECTORS[name], SetDetector):
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    return CASES[name]()


def scene(frames: int = 2, side: int = 64) -> tuple[torch.Tensor, Wanted]:
    """Dark noise with bright squares, and a sky above the middle."""
    rng = np.random.default_rng(0)
    images, boxes = rng.random((frames, 1, side, side), np.float32) * 0.2, []
    for k in range(frames):
        places = [(8, 12, 5), (40, 30, 4), (20, 44, 8)][: 3 - k % 2]
        for x, y, size in places:
            images[k, 0, y : y + size, x : x + size] += 0.7
        boxes.append(torch.tensor([[x, y, x + size, y + size] for x, y, size in places], dtype=torch.float32))
    sky = torch.zeros(frames, 1, side, side)
    sky[:, :, : side // 2] = 1
    return torch.from_numpy(images), Wanted(tuple(boxes), sky)


def test_every_detector_has_a_small_form() -> None:
    assert set(SMALL) == set(DETECTORS)


@pytest.mark.parametrize("name", CASES)
def test_a_frame_of_any_size_gets_boxes_with_scores(name: str) -> None:
    detector = make(name).eval()
    for height, width in ((64, 64), (50, 71)):
        output = detector(torch.rand(2, 1, height, width))
        scores = detector.scores(output)
        assert output.boxes.shape == (*scores.shape, 4)
        assert output.boxes.isfinite().all()
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_that_learns_gets_a_gradient(name: str) -> None:
    detector = make(name).train()
    images, wanted = scene()
    detector.loss(detector(images), wanted).backward()
    still = [key for key, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not still


@pytest.mark.parametrize("name", CASES)
def test_the_loss_falls_on_one_scene(name: str) -> None:
    detector = make(name).train()
    images, wanted = scene()
    rate = 1e-2 if isinstance(detector, SetDetector) else 2e-3  # queries learn slowly
    optimiser = torch.optim.Adam([p for p in detector.parameters() if p.requires_grad], rate)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = detector.loss(detector(images), wanted)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert min(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.parametrize("name", CASES)
def test_frames_without_targets_teach_background(name: str) -> None:
    detector = make(name).train()
    images, wanted = scene()
    empty = Wanted(tuple(boxes[:0] for boxes in wanted.boxes), wanted.sky)
    loss = detector.loss(detector(images), empty)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


@pytest.mark.parametrize("name", CASES)
def test_an_engine_gives_targets_inside_the_frame(name: str) -> None:
    from infraspot.core.sample import Sample

    engine = TorchBoxEngine(make(name), {}, name)
    prediction = engine.predict(Sample("one", scene(1)[0][0, 0].numpy()[:50, :60]), "one")
    boxes = np.array([target.box for target in prediction.candidates or ()]).reshape(-1, 4)
    assert (boxes >= 0).all()
    assert (boxes <= [60, 50, 60, 50]).all()


@pytest.mark.parametrize("name", [name for name in CASES if name not in MOVED])
def test_numbers_that_a_head_can_say_reach_any_small_box(name: str) -> None:
    """Decoding inverts some encoding: gradient descent on the raw numbers alone finds the box."""
    detector = make(name)
    assert isinstance(detector, DenseDetector)
    output = detector(torch.rand(1, 1, 64, 64))
    priors = output.priors
    assert priors is not None
    place = len(priors.points) // 3
    only = type(priors)(*(part[place : place + 1] for part in priors))
    wanted = torch.cat([only.points - torch.tensor([2.0, 1.5]), only.points + torch.tensor([1.5, 2.5])], 1)
    raw = output.parts["raw"][0, place : place + 1].detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([raw], 0.1)
    for _ in range(600):
        optimiser.zero_grad()
        gap = (DECODERS[detector.method.decoder](only, raw) - wanted).square().sum()
        gap.backward()
        optimiser.step()
    assert float(gap.detach()) < 1e-2


@pytest.mark.parametrize("name", ["rtmdet", "ssd", "yolov3", "efficientdet", "dyhead", "vfnet", "detr"])
def test_an_exported_graph_answers_as_torch_does_for_frames_of_other_sizes(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    card = {"network": {"name": name}, "threshold": 0.1}
    assert export_detector(make(name).eval(), card, tmp_path / "graph.onnx") < 1e-4


@pytest.mark.parametrize("name", ["sparse-rcnn", "tridentnet"])
def test_what_cannot_be_a_graph_of_any_size_is_refused(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    card = {"network": {"name": name}, "threshold": 0.1}
    with pytest.raises(InfraspotError, match="could not be exported for frames of any size"):
        export_detector(make(name).eval(), card, tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())
