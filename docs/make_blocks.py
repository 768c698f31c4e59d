"""Write docs/blocks.md from the registered blocks: ``python docs/make_blocks.py``."""

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from infraspot.blocks.attention import ATTENTION
from infraspot.blocks.context import CONTEXT, CrossLayerContext
from infraspot.blocks.encoder import ENCODER
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.blocks.pyramid import PYRAMID
from infraspot.blocks.residual import ResidualBlock

Family = dict[str, Callable[..., nn.Module]]

CHANNELS, SIDE = 32, 64

HEAD = f"""# Blocks

The survey's vocabulary. A block is exchanged by its name in a recipe:

```toml
[network]
name = "unet"
encoder = "single"   # how a frame becomes levels
local = "mrcb"       # Table 3: how each level refines local details
context = "agcb"     # Table 2: how the coarsest level refines semantic context
fusion = "acm"       # Table 1: how a decoder level meets an encoder level
attention = "cbam"   # after each encoder level; leave it out for none
```

A name with a colon, such as `"mypkg.blocks:Mine"`, is imported.

A block is a *reading* where it rests on the survey's words alone, or fills in what they leave open: its
docstring says under "Judgement" what was filled in. The others follow a paper's formula or what the authors'
program computes.

Parameters (thousands) and multiply-adds (millions) are for {CHANNELS} channels in and out at {SIDE}x{SIDE}. A
fusion has {CHANNELS} and {2 * CHANNELS} channels, the higher level at half the size; a context that reads the
next finer level has {CHANNELS // 2} channels there, at twice the size; an encoder has two levels of
{CHANNELS} and {2 * CHANNELS} channels of residual blocks. `python docs/make_blocks.py` writes this file.
"""


def main() -> None:
    one = torch.zeros(1, CHANNELS, SIDE, SIDE)
    high = torch.zeros(1, 2 * CHANNELS, SIDE // 2, SIDE // 2)
    finer = torch.zeros(1, CHANNELS // 2, 2 * SIDE, 2 * SIDE)
    frame = torch.zeros(1, 1, SIDE, SIDE)
    across = {name: make for name, make in CONTEXT.items() if _reads_finer(make)}
    within = {name: make for name, make in CONTEXT.items() if name not in across}
    encoders = ((CHANNELS, 2 * CHANNELS), ResidualBlock)
    families: list[tuple[str, str, Family, tuple[object, ...], tuple[Tensor, ...]]] = [
        ("Encoders (sections 2.4, 2.5)", "`Encoder(widths, block)(image)`", {**ENCODER}, encoders, (frame,)),
        ("Fusion (Table 1)", "`Fusion(low_channels, high_channels, out_channels)(low, high)`", {**FUSION},
         (CHANNELS, 2 * CHANNELS, CHANNELS), (one, high)),
        ("Context (Table 2)", "`Context(channels)(x)`", within, (CHANNELS,), (one,)),
        ("Context across levels", "`Context(channels, finer_channels)(x, finer)`", across,
         (CHANNELS, CHANNELS // 2), (one, finer)),
        ("Local (Table 3)", "`Local(in_channels, out_channels)(x)`", {**LOCAL}, (CHANNELS, CHANNELS), (one,)),
        ("Attention (section 2.1.1)", "`Attention(channels)(x)`", {**ATTENTION}, (CHANNELS,), (one,)),
        ("Pyramids (section 2.1.2)", "`Pyramid(in_channels, out_channels)(x)`", {**PYRAMID},
         (CHANNELS, CHANNELS), (one,)),
    ]  # fmt: skip
    sections = [HEAD]
    for title, call, family, arguments, maps in families:
        rows = [_row(name, make, make(*arguments).eval(), maps) for name, make in family.items()]
        table = ["| name | what it does | reading | k params | M MACs |", "|---|---|---|---:|---:|", *rows]
        sections.append("\n".join([f"## {title}", "", call, "", *table, ""]))
    Path(__file__).with_name("blocks.md").write_text("\n".join(sections))


def _reads_finer(make: Callable[..., nn.Module]) -> bool:
    return isinstance(make, type) and issubclass(make, CrossLayerContext)


def _row(name: str, make: Callable[..., nn.Module], block: nn.Module, maps: tuple[Tensor, ...]) -> str:
    text = inspect.getdoc(make) or ""
    paragraph = text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|").split(" Judgement:")[0]
    reading = "yes" if "Judgement" in text else ""
    parameters = sum(parameter.numel() for parameter in block.parameters()) / 1e3
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        block(*maps)
    macs = counter.get_total_flops() / 2e6
    return f"| `{name}` | {paragraph} | {reading} | {parameters:.1f} | {macs:.1f} |"


if __name__ == "__main__":
    main()
