"""Write ``docs/networks.md`` from the networks themselves: ``python docs/make_networks.py``."""

import inspect
import textwrap
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn

from infraspot.networks import NETWORKS, SegmentationNetwork
from infraspot.networks.readings import survey_readings
from infraspot.weights.cost import SIDE, cost

PAGE = Path(__file__).with_name("networks.md")
INTRODUCTION = f"""\
# Networks

Made by `python docs/make_networks.py` from the files in `src/infraspot/networks/`; `infraspot models` shows
the same figures, with `--measure` the time and memory of a frame too.

FLOPs are multiply-accumulates at {SIDE}x{SIDE}, counted as the survey's Table 6 counts them (4 for a
normalised value, 11 for an interpolated one, transposed convolutions at their output); MACs is the plain
count.

Parity is the largest difference from the authors' program: both get the same random weights, carried over by
the key map that `infraspot convert-weights` uses, and read the same frame; the difference is divided by the
range of the program's answers. Rounding in float32 gives about 1e-6. The figures hold in evaluation: where a
network's text names a departure in training, training statistics differ. No figure: the program is not public
or was not run side by side (the authors' own ACM and ALCNet, whose published weights are scored instead).
mim-istd has no key map: its parts were matched by hand, after correcting the program as its section says.
mtunet's figure is that of `sparse = true`, which its key map chooses.

Every network is exported to ONNX at free height and width by `infraspot export` and checked against torch on
frames of odd sizes; every network is captured whole by `torch.compile(network, fullgraph=True)`. The state
space of mim-istd becomes a graph of many small steps, which takes ten seconds or more to load.

In a drawing, a row is a scale, a column a part of the network in the order in which it runs, and a number the
channels that come out of it at that scale.
"""


READINGS = """\

## Readings of the survey

Rows of the survey's Table 5 that have no network of their own here are recipes over the [unet](#unet), in
the words of its [blocks](blocks.md): `infraspot train survey/fcnet`. They are readings, not the authors'
networks: the columns of the table say which parts a method has, and the recipe takes them; everything else
(widths, depths, budget) is the same in all of them. Where a column is empty, the baseline stands: `residual`,
`none`, `concat`, soft IoU.

| recipe | row | source | encoder | local | context | fusion | params M | FLOPs G |
|---|---|---|---|---|---|---|---:|---:|
"""


def main() -> None:
    parts = [INTRODUCTION, _tables(), *(_section(name) for name in NETWORKS), READINGS, _readings()]
    PAGE.write_text("".join(parts), encoding="utf-8")


def _readings() -> str:
    text = ""
    for name, reading in survey_readings().items():
        options, counted = reading.options, cost(reading.build)
        encoder = options.get("encoder", "single") + (
            f", stem {options['stem']}" if "stem" in options else ""
        )
        words = (encoder, options["local"], options["context"], options["fusion"])
        figures = (f"{counted.params / 1e6:.3f}", f"{counted.flops / 1e9:.2f}")
        cells = (f"`{name}`", reading.title, reading.sheet.source, *words, *figures)
        text += f"| {' | '.join(cells)} |\n"
    return text


def _tables() -> str:
    families = defaultdict(list)
    for name in NETWORKS:
        families[NETWORKS[name].sheet.family].append(name)
    text = "\n| family | name | source | params M | Table 6 | FLOPs G | Table 6 | MACs G | parity |\n"
    text += "|---|---|---|---:|---:|---:|---:|---:|---:|\n"
    for family in sorted(families):
        for name in families[family]:
            sheet, counted = NETWORKS[name].sheet, cost(NETWORKS[name])
            cells = (
                family,
                f"[{name}](#{name})",
                sheet.source,
                f"{counted.params / 1e6:.3f}",
                "" if sheet.paper_params is None else f"{sheet.paper_params / 1e6:.2f}",
                f"{counted.flops / 1e9:.2f}",
                "" if sheet.paper_flops is None else f"{sheet.paper_flops / 1e9:.2f}",
                f"{counted.macs / 1e9:.2f}",
                "" if sheet.parity is None else f"{sheet.parity:.1e}",
            )
            text += f"| {' | '.join(cells)} |\n"
    return text


def _section(name: str) -> str:
    sheet = NETWORKS[name].sheet
    note = f"\n{_wrapped(f'Note: {sheet.note}.')}\n" if sheet.note else ""
    return (
        f"\n## {name}\n\n{_about(name)}\n{note}\nLicence: {sheet.licence}.\n\n"
        f"```\n{drawing(NETWORKS[name]())}```\n"
    )


def _about(name: str) -> str:
    """The text of the network's file; of a second network of that file, its own line."""
    module = inspect.getmodule(NETWORKS[name])
    first = next(other for other in NETWORKS if inspect.getmodule(NETWORKS[other]) is module)
    if name == first:
        return (inspect.getdoc(module) or "").replace("::\n", ":\n")
    own = inspect.getdoc(NETWORKS[name]) or ""
    return _wrapped(f"{own} The paper and the departures are told under [{first}](#{first}).")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 110, break_on_hyphens=False)


def drawing(network: SegmentationNetwork) -> str:
    """Scales down, parts across: the channels of every part's output, in the order of running."""
    steps: list[tuple[int, int]] = []

    def record(_part: nn.Module, _inputs: object, output: object) -> None:
        for map_ in output if isinstance(output, tuple | list) else [output]:
            if isinstance(map_, Tensor) and map_.ndim == 4 and SIDE % map_.shape[-1] == 0:
                steps.append((SIDE // map_.shape[-1], map_.shape[1]))

    hooks = [part.register_forward_hook(record) for part in _parts(network)]
    with torch.no_grad():
        network.to("meta").eval()(torch.empty(1, 1, SIDE, SIDE, device="meta"))
    for hook in hooks:
        hook.remove()
    cells = [(scale, str(channels)) for scale, channels in steps]
    rows = []
    for scale in sorted({scale for scale, _ in cells}):
        line = " ".join(text if at == scale else " " * len(text) for at, text in cells)
        rows.append(f"1/{scale:<3d}| {line}".rstrip())
    return "\n".join(rows) + "\n"


def _parts(module: nn.Module) -> list[nn.Module]:
    """The network's own parts; lists of parts count as their members."""
    parts: list[nn.Module] = []
    for child in module.children():
        listed = isinstance(child, nn.ModuleList | nn.ModuleDict)
        parts += _parts(child) if listed else [child]
    return parts


if __name__ == "__main__":
    main()
