"""What the attacks with weight files and with ONNX files share."""

from pathlib import Path
from typing import Any

from infraspot.cli.main import main

OPTIONS = {"widths": [4, 4, 4, 4], "depths": [1, 1, 1, 1], "full_width": 2}
SOUND: dict[str, Any] = {"network": {"name": "compact", "options": OPTIONS}, "threshold": 0.5}


def refuse(frame: Path, model: Path, capsys, *options: str) -> str:
    """What the command says about a file that it must refuse."""
    out = frame.parent / "out"
    status = main(["detect", str(frame), "--model", str(model), "--out", str(out), *options])
    said = capsys.readouterr()
    assert status in (1, 2), said.out
    assert "error: " in said.err
    assert "Traceback" not in said.err
    assert not list(out.rglob("*.mask.png")), "a refused file left results"
    return said.err
