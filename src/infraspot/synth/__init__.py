"""Synthetic infrared scenes from a physical model, with exact truth and a wanted contrast."""

from infraspot.synth.clutter import Clutter, Frame
from infraspot.synth.scene import Scene, generate, generate_scene, generate_sequence, scene_rng
from infraspot.synth.spec import SceneRanges, SceneSpec, TargetSpec, draw_spec

__all__ = [
    "Clutter",
    "Frame",
    "Scene",
    "SceneRanges",
    "SceneSpec",
    "TargetSpec",
    "draw_spec",
    "generate",
    "generate_scene",
    "generate_sequence",
    "scene_rng",
]
