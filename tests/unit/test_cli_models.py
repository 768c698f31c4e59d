"""The commands that list networks and convert weights."""

import json

import pytest
import torch

import infraspot
from infraspot.annotators import ADAPTERS, ANNOTATORS
from infraspot.cli.main import main
from infraspot.networks import NETWORKS
from infraspot.weights.cost import Measurement
from infraspot.weights.files import load_network

KEYS = {
    "name", "family", "source", "params", "flops_256", "ms_256", "paper_params", "paper_flops", "note",
    "licence", "trained_on",
}  # fmt: skip


def test_every_network_and_method_is_listed_as_json(capsys, monkeypatch):
    few = {name: NETWORKS[name] for name in ("acm-port", "compact")}
    monkeypatch.setattr("infraspot.networks.NETWORKS", few)
    assert main(["models", "--json", "--measure"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() >= {"acm-port", "compact", "tophat", "profile"}
    assert all(row.keys() >= KEYS for row in rows.values())
    assert rows["acm-port"]["paper_params"] == 400_000
    assert abs(rows["acm-port"]["flops_256"] / 0.40e9 - 1) < 0.02
    assert rows["acm-port"]["ms_256"] > 0
    assert rows["tophat"]["params"] is None


def listed(capsys, *arguments):
    assert main(["models", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_only_the_named_ones_are_counted(capsys, monkeypatch):
    monkeypatch.setattr("infraspot.weights.cost.measure", lambda network: Measurement(12.5, 1000))
    rows = listed(capsys, "compact", "tophat", "--measure")
    assert [row["name"] for row in rows] == ["compact", "tophat"]
    assert rows[0]["ms_256"] == 12.5
    assert rows[1]["ms_256"] is None


def test_a_family_is_one_of_those_that_a_network_belongs_to(capsys):
    names = {row["name"] for row in listed(capsys, "--family", "semantics")}
    assert {"dnanet", "mtunet"} <= names
    assert not {"acm", "tophat"} & names
    assert [row["name"] for row in listed(capsys, "acm", "dnanet", "--family", "local")] == ["dnanet"]


def test_annotators_with_weights_of_their_own_say_what_to_install(capsys):
    rows = {row["name"]: row for row in listed(capsys, "--family", "annotator")}
    assert rows.keys() == {*ANNOTATORS, *ADAPTERS}
    assert all(row.keys() >= KEYS for row in rows.values())
    assert all("infraspot[sam]" in rows[name]["note"] for name in ("sam", "sam2"))
    assert "Kirillov" in rows["sam"]["source"]
    assert rows["profile"]["note"] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dnant"], "unknown model 'dnant': did you mean 'dnanet'"),
        (["--family", "anotator"], "unknown family 'anotator': did you mean 'annotator'"),
    ],
)
def test_an_unknown_name_or_family_is_refused_with_the_nearest_one(capsys, arguments, words):
    assert main(["models", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_table_leaves_out_what_nothing_is_known_of_and_cuts_no_sentence(capsys):
    assert main(["models", "nram", "temporal-z"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "family", "source"]
    assert rows[0].rstrip().endswith("Low-rank patches by a surrogate of the rank, strong edges apart.")
    assert rows[0].index("Low-rank") == head.index("source")


def test_a_packaged_model_that_is_named_shows_its_operating_points(capsys):
    assert main(["models", "compact-sirst1"]) == 0
    shown = capsys.readouterr().out
    assert "infraspot: compact, trained on sirst-v1 and sirst-v2-part" in shown
    points = infraspot.load().card["operating_points"]
    lines = [line.split() for line in shown.splitlines()]
    for name, point in points.items():
        first = point["measured"][0]
        row = next(words for words in lines if words[:1] == [name])
        assert row[1] == f"{point['threshold']:g}"
        assert row[3] == f"{first['pd']:.3f}"


def test_every_network_says_where_it_comes_from():
    assert all(network.sheet.source for network in NETWORKS.values())


def test_converted_weights_load_and_answer_as_before(tmp_path, capsys):
    torch.manual_seed(0)
    network = NETWORKS["mshnet"]()
    names = {
        "stem.": "conv_init.", "encoder.4.": "middle_layer.", "encoder.": "encoder_", "decoder.": "decoder_",
        "heads.": "output_", "fuse.": "final.",
    }  # fmt: skip
    published = {}
    for key, value in network.state_dict().items():
        prefix = next(prefix for prefix in names if key.startswith(prefix))
        published["module." + names[prefix] + key.removeprefix(prefix)] = value
    torch.save({"state_dict": published}, tmp_path / "published.pth")
    out = tmp_path / "ours.safetensors"
    assert (
        main(["convert-weights", str(tmp_path / "published.pth"), "--network", "mshnet", "--out", str(out)])
        == 0
    )
    loaded, card = load_network(out)
    assert card["network"]["name"] == "mshnet"
    frame = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(frame).logits, network.eval()(frame).logits)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["none.pth", "--network", "dnanet", "--out", "x.safetensors"], 1, "no such file"),
        (["bad.pth", "--network", "dnanet", "--out", "x.pth"], 2, "ends in .safetensors"),
        (["bad.pth", "--network", "dnant", "--out", "x.safetensors"], 2, "did you mean 'dnanet'"),
        (["bad.pth", "--network", "dnanet", "--out", "x.safetensors"], 1, "reading them failed"),
        (["tensor.pth", "--network", "dnanet", "--out", "x.safetensors"], 1, "expected a state dict"),
        (["wrong.pth", "--network", "dnanet", "--out", "x.safetensors"], 1, "not the weights of dnanet"),
        (["bad.pth", "--network", "dnanet", "--out", "x.safetensors", "--input-mean", "1"], 2, "together"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_a_sentence(
    tmp_path, capsys, monkeypatch, arguments, status, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pth").write_bytes(b"not a weight file")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "wrong.pth")
    assert main(["convert-weights", *arguments]) == status
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_reliability_of_a_packaged_model_is_drawn(ending, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"scores.{ending}"
    assert main(["models", "compact-sirst1", "--reliability", str(file)]) == 0
    assert file.stat().st_size > 5000
    assert str(file) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compact-sirst1", "--reliability", "scores.txt"], "ends in .png, .svg, .pdf"),
        (["--reliability", "scores.svg"], "the name of one packaged model"),
        (["unet", "--reliability", "scores.svg"], "the name of one packaged model"),
    ],
)
def test_a_diagram_that_cannot_be_drawn_is_a_sentence(words, said, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert main(["models", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
