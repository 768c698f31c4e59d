"""Detectors whose transformers are those of another package."""

import sys
from pathlib import Path

import pytest
import torch

from infraspot.core.errors import UsageError
from infraspot.detection import BACKBONES, DETECTORS, Wanted
from infraspot.detection.transformers_detr import SetDetector
from infraspot.weights.files import load_detector, save_weights

FAMILY = [name for name, detector in DETECTORS.items() if issubclass(detector, SetDetector)]
SMALL = {"backbone": "resnet10", "width": 64, "heads": 4, "hidden": 32, "layers": 2, "queries": 12}


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"the detector DETR needs transformers.*infraspot\[detr\]"):
        DETECTORS["detr"]()


@pytest.mark.parametrize("name", FAMILY)
def test_weights_come_back_from_a_file(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    detector, path = DETECTORS[name](**SMALL).eval(), tmp_path / "set.safetensors"
    card = {"kind": "detector", "network": {"name": name, "options": SMALL}, "threshold": 0.1}
    save_weights(path, detector.state_dict(), card)
    image = torch.rand(1, 1, 64, 64)
    assert torch.equal(detector(image).boxes, load_detector(path)[0].eval()(image).boxes)


@pytest.mark.parametrize("name", FAMILY)
def test_the_backbone_is_ours_and_begins_with_its_weights(name: str) -> None:
    pytest.importorskip("transformers")
    detector, source = DETECTORS[name](**SMALL), BACKBONES["resnet10"]()
    detector.backbone.load_state_dict(source.state_dict())
    norms = [m for m in detector.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(parameter.requires_grad for parameter in detector.backbone.parameters())


def test_every_layer_is_taught() -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    images, wanted = torch.rand(2, 1, 64, 64), Wanted((torch.tensor([[8.0, 8, 12, 12]]),) * 2)
    for name, layers in (("detr", 2), ("deformable-detr", 2), ("rt-detr", 1 + 2), ("d-fine", 1 + 1 + 2)):
        detector = DETECTORS[name](**SMALL).train()
        output = detector(images)
        assert len(output.parts["said"]) == layers, name
        assert detector.loss(output, wanted).isfinite()
        assert len(detector.eval()(images).parts["said"]) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 48}, "width is a multiple of 64"),
        ({"strides": (16, 32)}, "reads 1 strides, and 2 came"),
        ({"strides": (16,)}, "the last stride is the backbone's, 32, and 16 came"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], words: str) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=words):
        DETECTORS["detr"](**SMALL | options)
