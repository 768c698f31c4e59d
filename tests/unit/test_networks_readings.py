"""The survey's Table 5, row by row."""

import json
from pathlib import Path

import pytest
from training_fakes import write_data

from infraspot.blocks.context import CONTEXT
from infraspot.blocks.encoder import ENCODER
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.cli.main import main
from infraspot.networks import NETWORKS
from infraspot.networks.readings import FAMILY, survey_readings
from infraspot.networks.unet import UNet
from infraspot.training.recipe import load_recipe
from infraspot.weights.files import read_card

# Typed from the paper: method, fusion, local, semantics, loss, augmentation; and what we have for the row.
TABLE_5 = [
    ("TCRNet", "", "Offline learned layers", "", "", "", "survey/tcrnet"),
    ("Dai et al. [16]", "ACM", "", "", "", "", "acm"),
    ("Huang et al. [37]", "FAMCA", "", "LSPM", "BCE", "", "survey/huang2021"),
    ("UIUNet", "IC-A", "Embedded UNet", "", "", "", "uiunet"),
    ("ISNet", "TOAA", "", "", "Dice", "", "isnet"),
    ("DNANet", "Nested Fusion", "CSAM", "Pyramid", "SoftIoU", "", "dnanet"),
    ("ALCLNet", "SBAM", "", "", "SoftIoU", "", "alclnet"),
    ("FTCNet", "", "Transformer", "Transformer", "Dice Loss", "", "survey/ftcnet"),
    ("Wang et al. [81]", "", "", "", "", "Copy-Paste", "survey/wang2022"),
    ("Chen et al. [85]", "", "", "", "Focal + Multi-task", "", "survey/chen2022"),
    ("IR-TransDet", "", "", "ASPP+Transformer", "SoftIoU", "", "survey/ir-transdet"),
    ("MTU-Net", "", "", "Transformer", "FocalIoU", "Copy-Paste", "mtunet"),
    ("AGPCNet", "AFM", "", "AGCB", "SoftIoU", "", "agpcnet"),
    ("LCAGNet", "MCAF", "MALC", "", "SoftIoU", "", "survey/lcagnet"),
    ("Liu et al. [45]", "", "", "Transformer", "SoftIoU", "", "survey/liu2023"),
    ("FcNet", "CFM", "FEM", "SFM", "SoftIoU", "", "survey/fcnet"),
    ("GANet", "AAF", "Transformer", "", "Focal+IoU", "Copy-Paste", "survey/ganet"),
    ("Zhang et al. [44]", "Adjacent Fusion", "ICA", "CBAM", "", "", "survey/zhang2024"),
    ("NLFPNet", "AAFM", "", "NLPPM", "", "", "survey/nlfpnet"),
    ("AFENet", "EDIG", "", "CFAR", "SoftIoU", "", "survey/afenet"),
    ("EFLNet", "", "", "", "Threshold focal", "", "survey/eflnet"),
    ("HMNet", "", "SAE", "HAA", "SoftIoU", "", "survey/hmnet"),
    ("Chen et al. [26]", "OCDF", "Dual Encoder", "", "BCE+Dice", "", "survey/chen2024"),
    ("DMFNet", "TCFM", "Dual Encoder", "REAM", "SoftIoU", "", "survey/dmfnet"),
    ("SCTransNet", "CCA", "SCTB", "", "BCE", "", "sctransnet"),
    ("HAMANet", "CFM", "SiAM/PiAM", "CGMLP", "BCE+Dice", "", "survey/hamanet"),
    ("MDAFNet", "", "MDAF", "", "SoftIoU", "", "survey/mdafnet"),
    ("GSTUNet", "", "Swin Transformer+GCL", "ASPP", "Dice +BCE", "", "survey/gstunet"),
    ("CMNet", "", "MRCB", "MRCB", "", "", "survey/cmnet"),
    ("MSHNet", "", "", "", "SLS", "", "mshnet"),
]
READ = [row for row in TABLE_5 if row[-1].startswith("survey/")]
LOSSES = {
    "": {"soft_iou"}, "SoftIoU": {"soft_iou"}, "BCE": {"bce"}, "Dice Loss": {"dice"},
    "BCE+Dice": {"bce", "dice"}, "Dice +BCE": {"bce", "dice"}, "Threshold focal": {"threshold_focal"},
    "Focal+IoU": {"focal", "soft_iou"}, "Focal + Multi-task": {"focal", "soft_iou"},
}  # fmt: skip
LOCALS = {
    "": {}, "Offline learned layers": {"stem": "otc"}, "Transformer": {"local": "swin"},
    "Dual Encoder": {}, "SiAM/PiAM": {"local": "siam-piam"}, "Swin Transformer+GCL": {"local": "swin-gcl"},
}  # fmt: skip
ENCODERS = {"Chen et al. [26]": "dual-resolution", "DMFNet": "dual"}
FUSIONS = {"": "concat", "Adjacent Fusion": "adjacent"}
CONTEXTS = {"": "none", "ASPP+Transformer": "aspp-transformer"}


@pytest.mark.parametrize("row", TABLE_5, ids=lambda row: row[0])
def test_every_row_of_the_table_is_a_network_or_a_recipe(row: tuple[str, ...]) -> None:
    assert row[-1] in NETWORKS or row[-1] in survey_readings()


def test_no_recipe_is_without_its_row() -> None:
    assert len(TABLE_5) == 30
    assert sorted(survey_readings()) == sorted(row[-1] for row in READ)


@pytest.mark.parametrize("row", READ, ids=lambda row: row[0])
def test_a_recipe_says_what_the_columns_of_its_row_say(row: tuple[str, ...]) -> None:
    title, fusion, local, semantics, loss, augmentation, name = row
    recipe = load_recipe(name)
    assert recipe.about is not None
    assert recipe.about.title.split(" [")[0].startswith(title.split(" [")[0])
    assert recipe.network.name == "unet"
    expected = {"local": "residual", "context": CONTEXTS.get(semantics, semantics.lower())}
    expected |= {"fusion": FUSIONS.get(fusion, fusion.lower())}
    expected |= LOCALS.get(local, {"local": local.lower()})
    expected |= {"encoder": ENCODERS[title]} if title in ENCODERS else {}
    assert recipe.network.options == expected
    assert recipe.loss.terms.keys() == LOSSES[loss]
    assert ("copy-paste" in [step.name for step in recipe.augment]) == (augmentation == "Copy-Paste")


def test_every_part_that_a_recipe_names_is_one_that_the_tables_name() -> None:
    for name in survey_readings():
        options = load_recipe(name).network.options
        assert options["local"] in LOCAL
        assert options["context"] in CONTEXT
        assert options["fusion"] in FUSION
        assert options.get("encoder", "single") in ENCODER


def test_a_reading_builds_its_network_and_says_that_it_is_one() -> None:
    reading = survey_readings()["survey/tcrnet"]
    assert isinstance(reading.build(), UNet)
    assert reading.title == "TCRNet"
    assert reading.sheet.family == FAMILY
    assert "reading" in reading.sheet.note


def test_a_reading_trains_by_its_name(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    changes = ("train.epochs=1", "train.batch=4", "augment.0.size=32", "network.widths=[4, 8]")
    words = [word for change in changes for word in ("--set", change)]
    arguments = ["train", "survey/ganet", "--data", str(data), *words]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert read_card(tmp_path / "run/last.safetensors")["network"]["options"]["local"] == "swin"


def test_the_whole_list_holds_the_readings_and_does_not_count_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infraspot.networks.NETWORKS", {})
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() >= survey_readings().keys()
    assert rows["survey/fcnet"]["params"] is None
    assert main(["models", "survey/fcnet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["params"] > 0


def test_readings_are_listed_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "survey/fcnet", "survey/ganet"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Guo et al., Remote Sensing 2024" in printed
    assert "survey/fcnet, survey/ganet: a reading of a row of the survey's Table 5" in printed
