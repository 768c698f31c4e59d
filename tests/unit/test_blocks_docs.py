"""docs/blocks.md names every block."""

from pathlib import Path

import pytest

from infraspot.blocks.attention import ATTENTION
from infraspot.blocks.context import CONTEXT
from infraspot.blocks.encoder import ENCODER
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.blocks.pyramid import PYRAMID

PAGE = Path(__file__).parents[2] / "docs" / "blocks.md"


@pytest.mark.parametrize("family", [ATTENTION, CONTEXT, ENCODER, FUSION, LOCAL, PYRAMID])
def test_every_block_is_on_its_page(family: dict) -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert [name for name in family if f"`{name}`" not in rows] == []
