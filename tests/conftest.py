"""Fixtures for every test: seeded randomness, and the research images where they are."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def _research_set(name: str) -> Path:
    root = os.environ.get("INFRASPOT_DATA")
    if not root:
        pytest.skip("INFRASPOT_DATA does not name a folder with the research images")
    folder = Path(root) / name
    if not folder.is_dir():
        pytest.skip(f"the set {name} is not in the folder that INFRASPOT_DATA names")
    return folder


@pytest.fixture
def sirst1() -> Path:
    """Real images of SIRST-v1, its train and val splits."""
    return _research_set("sirst-v1")


@pytest.fixture
def sirst2() -> Path:
    """Real images of SIRST-V2, most of them without a target."""
    return _research_set("sirst-v2-part")


@pytest.fixture
def densesirst() -> Path:
    """Real images of DenseSIRST, with sky masks and points."""
    return _research_set("densesirst-part") / "SIRSTdevkit"
