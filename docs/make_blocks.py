"""Write docs/blocks.md from the registered blocks: ``python docs/make_blocks.py``."""

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from infraspot.blocks.attention import ATTENTION
from infraspot.blocks.context import CONTEXT
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.blocks.pyramid import PYRAMID

Family = dict[str, Callable[..., nn.Module]]

CHANNELS, SIDE = 32, 64

HEAD = f"""# Blocks

The survey's vocabulary. A block is exchanged by its name in a recipe:

```toml
[network]
name = "unet"
local = "mrcb"       # Table 3: how each level refines local details
context = "agcb"     # Table 2: how the coarsest level refines semantic context
fusion = "acm"       # Table 1: how a decoder level meets an encoder level
attention = "cbam"   # after each encoder level; leave it out for none
```

A name with a colon, such as `"mypkg.blocks:Mine"`, is imported. Where a paper's program is public the block
follows it; where only the survey's words are, its docstring says "Judgement". Parameters (thousands) and
multiply-adds (millions) are for {CHANNELS} channels in and out at {SIDE}x{SIDE}; a fusion has {CHANNELS} and
{2 * CHANNELS} channels, the higher level at half the size. `python docs/make_blocks.py` writes this file.
"""


def main() -> None:
    one = torch.zeros(1, CHANNELS, SIDE, SIDE)
    high = torch.zeros(1, 2 * CHANNELS, SIDE // 2, SIDE // 2)
    families: list[tuple[str, str, Family, tuple[int, ...], tuple[Tensor, ...]]] = [
        ("Fusion (Table 1)", "`Fusion(low_channels, high_channels, out_channels)(low, high)`", {**FUSION},
         (CHANNELS, 2 * CHANNELS, CHANNELS), (one, high)),
        ("Context (Table 2)", "`Context(channels)(x)`", {**CONTEXT}, (CHANNELS,), (one,)),
        ("Local (Table 3)", "`Local(in_channels, out_channels)(x)`", {**LOCAL}, (CHANNELS, CHANNELS), (one,)),
        ("Attention (section 2.1.1)", "`Attention(channels)(x)`", {**ATTENTION}, (CHANNELS,), (one,)),
        ("Pyramids (section 2.1.2)", "`Pyramid(in_channels, out_channels)(x)`", {**PYRAMID},
         (CHANNELS, CHANNELS), (one,)),
    ]  # fmt: skip
    sections = [HEAD]
    for title, call, family, arguments, maps in families:
        rows = [_row(name, make, make(*arguments).eval(), maps) for name, make in family.items()]
        table = ["| name | what it does | k params | M MACs |", "|---|---|---:|---:|", *rows]
        sections.append("\n".join([f"## {title}", "", call, "", *table, ""]))
    Path(__file__).with_name("blocks.md").write_text("\n".join(sections))


def _row(name: str, make: Callable[..., nn.Module], block: nn.Module, maps: tuple[Tensor, ...]) -> str:
    paragraph = (inspect.getdoc(make) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    parameters = sum(parameter.numel() for parameter in block.parameters()) / 1e3
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        block(*maps)
    return f"| `{name}` | {paragraph} | {parameters:.1f} | {counter.get_total_flops() / 2e6:.1f} |"


if __name__ == "__main__":
    main()
