"""What a scene consists of, and the ranges that scenes are drawn from."""

from dataclasses import dataclass, field, replace

import numpy as np

from infraspot.core.errors import UsageError
from infraspot.synth.backgrounds import BACKGROUNDS, BUILT
from infraspot.synth.optics import Optics
from infraspot.synth.sensor import Sensor

DEPTHS = (8, 12, 14, 16)
_SPOTS = (3.0, 60.0)  # to a million pixels
_BLINKING = 0.15  # chance in a frame
_FARTHEST = 50.0  # pixels a frame: a longer way needs a background larger than any memory


@dataclass(frozen=True)
class TargetSpec:
    """One target.

    Attributes
    ----------
    diameter
        Size before the optics, pixels; below 1 it is a point source.
    scr
        Wanted signal-to-clutter ratio in the first frame (:func:`infraspot.core.contrast.signal_to_clutter`).
    dark
        Darker than what surrounds it.
    velocity
        (y, x) pixels a frame, in the image of a camera that does not shake.
    blink
        Chance in each frame that it is not to be seen for one to three frames.
    """

    diameter: float = 0.0
    scr: float = 8.0
    dark: bool = False
    velocity: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0


@dataclass(frozen=True)
class SceneSpec:
    """Everything about a scene but its random draws.

    Attributes
    ----------
    kind
        One of :data:`infraspot.synth.backgrounds.BACKGROUNDS`.
    height, width
        Frame size in pixels.
    targets
        The targets; those for which no free place is found are left out.
    optics, sensor
        The camera.
    frames
        Length of the sequence.
    drift
        (y, x) motion of the camera before the background, pixels a frame: the background goes the other way.
    jitter
        Standard deviation of the camera's shake in each frame and direction, pixels.
    parallax
        How much further what stands before the sky moves than what is far: 0.5 is half as far again.
    crossing
        Whether the second target meets the first one halfway.
    mask_share
        A pixel belongs to a target where its signal is at least this share of the target's peak.
    clutter
        Number of spots that are no targets (:data:`infraspot.synth.clutter.SPOTS`). Those for which the frame
        has no room are left out.
    """

    kind: str = "sky"
    height: int = 256
    width: int = 256
    targets: tuple[TargetSpec, ...] = (TargetSpec(),)
    optics: Optics = field(default_factory=Optics)
    sensor: Sensor = field(default_factory=Sensor)
    frames: int = 1
    drift: tuple[float, float] = (0.0, 0.0)
    jitter: float = 0.0
    parallax: float = 0.0
    crossing: bool = False
    mask_share: float = 1 / 3
    clutter: int = 0

    def __post_init__(self) -> None:
        if self.kind not in BACKGROUNDS:
            raise UsageError(f"unknown kind of scene {self.kind!r}; known: {', '.join(BACKGROUNDS)}")
        if min(self.height, self.width, self.frames) < 1:
            raise UsageError(
                f"a scene needs at least one row, column and frame; {self.height}, {self.width}, "
                f"{self.frames} came"
            )
        if not (0 <= self.jitter <= _FARTHEST and 0 <= self.parallax <= 10):
            raise UsageError(
                f"a scene needs a jitter of 0 to {_FARTHEST:g} pixels and a parallax of 0 to 10;"
                f" {self.jitter}, {self.parallax} came"
            )
        if self.clutter < 0:
            raise UsageError(f"a scene needs 0 spots of clutter or more, and {self.clutter} came")


@dataclass(frozen=True)
class SceneRanges:
    """What :func:`draw_spec` draws from; the defaults resemble SIRST-v1.

    Attributes
    ----------
    size
        (width, height) in pixels; None draws sizes from about 200x150 to 400x320.
    kinds
        Names of backgrounds, drawn with ``weights``.
    targets
        Least and greatest number of targets.
    scr
        Least and greatest wanted SCR, drawn evenly in its logarithm.
    dark
        Share of dark targets.
    pan
        Standard deviation of the camera's steady motion in each direction, pixels a frame. This and what
        follows is for sequences.
    jitter, parallax
        See :class:`SceneSpec`.
    hover, blink, cross
        Shares of the targets that stand still against the background and that blink, and of the scenes in
        which two targets cross.
    clutter
        Least and greatest number of spots that are no targets: lamps, exhausts, glints, litter, birds and
        faults of the detector. None draws 3 to 60 to a million pixels for the backgrounds that people built
        on, and none for the others.
    """

    size: tuple[int, int] | None = None
    kinds: tuple[str, ...] = ("sky", "mixed", "sea", "ground")
    weights: tuple[float, ...] = (0.62, 0.2, 0.09, 0.09)
    bits: int = 8
    targets: tuple[int, int] = (1, 3)
    scr: tuple[float, float] = (4.0, 35.0)
    dark: float = 0.0
    frames: int = 1
    pan: float = 0.3
    jitter: float = 0.0
    parallax: float = 0.0
    hover: float = 0.0
    blink: float = 0.0
    cross: float = 0.0
    clutter: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        wrong = [
            text
            for bad, text in (
                (self.size is not None and min(self.size) < 1, f"size {self.size} below 1x1"),
                (set(self.kinds) - set(BACKGROUNDS), f"kinds {self.kinds}, known: {', '.join(BACKGROUNDS)}"),
                (
                    len(self.weights) != len(self.kinds),
                    f"{len(self.weights)} weights for {len(self.kinds)} kinds",
                ),
                (len(set(self.kinds)) < len(self.kinds), f"kinds {self.kinds}, one of them twice"),
                (self.bits not in DEPTHS, f"{self.bits} bits, known: {DEPTHS}"),
                (not 0 <= self.targets[0] <= self.targets[1], f"targets {self.targets}"),
                (not 0 < self.scr[0] <= self.scr[1], f"SCR {self.scr}"),
                (not 0 <= self.dark <= 1, f"share of dark targets {self.dark}, not within 0 and 1"),
                (self.frames < 1, f"{self.frames} frames"),
                (not 0 <= self.pan <= _FARTHEST, f"pan {self.pan}, not within 0 and {_FARTHEST:g}"),
                (not 0 <= self.jitter <= _FARTHEST, f"jitter {self.jitter}, not within 0 and {_FARTHEST:g}"),
                (not 0 <= self.parallax <= 10, f"parallax {self.parallax}, not within 0 and 10"),
                *(
                    (not 0 <= share <= 1, f"a share of {name} of {share}, not within 0 and 1")
                    for name, share in (("hover", self.hover), ("blink", self.blink), ("cross", self.cross))
                ),
                (
                    self.clutter is not None and not 0 <= self.clutter[0] <= self.clutter[1],
                    f"spots of clutter {self.clutter}",
                ),
                (
                    not all(weight >= 0 for weight in self.weights) or not 0 < sum(self.weights) < np.inf,
                    f"weights {self.weights}, not one of them above 0",
                ),
            )
            if bad
        ]
        if wrong:
            raise UsageError(f"these options cannot be: {'; '.join(wrong)}")


def draw_spec(ranges: SceneRanges, rng: np.random.Generator) -> SceneSpec:
    """Draw one scene."""
    weights = np.array(ranges.weights)
    width, height = ranges.size or (int(rng.integers(200, 401)), int(rng.integers(150, 321)))
    few, many = ranges.targets
    # Most frames of the field hold one target; each further one is half as likely.
    odds = 0.3 ** np.arange(many - few + 1)
    count = few + int(rng.choice(many - few + 1, p=odds / odds.sum()))
    kind = str(rng.choice(ranges.kinds, p=weights / weights.sum()))
    spec = SceneSpec(
        kind=kind,
        height=height,
        width=width,
        targets=tuple(_target(ranges, rng) for _ in range(count)),
        optics=_optics(rng),
        sensor=_sensor(ranges.bits, rng),
        frames=ranges.frames,
        drift=_pan(ranges, rng) if ranges.frames > 1 else (0.0, 0.0),
        jitter=ranges.jitter,
        parallax=ranges.parallax,
    )
    spec = _in_motion(spec, ranges, rng) if ranges.frames > 1 else spec
    if kind in BUILT:
        spec = _as_on_a_vehicle(spec, rng)
    if ranges.clutter is not None:
        least, most = ranges.clutter
        return replace(spec, clutter=int(rng.integers(least, most + 1))) if most else spec
    density = float(np.exp(rng.uniform(*np.log(_SPOTS)))) if kind in BUILT else 0.0
    return replace(spec, clutter=round(density * width * height / 1e6))


def _pan(ranges: SceneRanges, rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.normal(0, ranges.pan)), float(rng.normal(0, ranges.pan))


def _in_motion(spec: SceneSpec, ranges: SceneRanges, rng: np.random.Generator) -> SceneSpec:
    """Let some targets hover, blink and cross; nothing is drawn for what no scene shall have."""
    targets = list(spec.targets)
    for place, target in enumerate(targets):
        if ranges.hover and rng.random() < ranges.hover:
            target = replace(target, velocity=(-spec.drift[0], -spec.drift[1]))
        if ranges.blink and rng.random() < ranges.blink:
            target = replace(target, blink=_BLINKING)
        targets[place] = target
    crossing = bool(ranges.cross) and bool(rng.random() < ranges.cross)
    return replace(spec, targets=tuple(targets), crossing=crossing)


def _as_on_a_vehicle(spec: SceneSpec, rng: np.random.Generator) -> SceneSpec:
    """Cameras that look at the ground are sharp, and their electronics bring out detail."""
    optics = replace(spec.optics, width=spec.optics.width * rng.uniform(0.35, 0.7))
    sensor = replace(
        spec.sensor,
        grain=0.0 if rng.random() < 0.6 else spec.sensor.grain,
        sharpening=rng.uniform(0.3, 2.0),
        gain=rng.uniform(1.2, 3),
    )
    return replace(spec, optics=optics, sensor=sensor)


def _optics(rng: np.random.Generator) -> Optics:
    if rng.random() < 0.7:
        return Optics("gaussian", float(rng.uniform(0.7, 1.6)))
    return Optics("airy", float(rng.uniform(1.8, 4.0)))


def _target(ranges: SceneRanges, rng: np.random.Generator) -> TargetSpec:
    moving = ranges.frames > 1
    return TargetSpec(
        diameter=0.0 if rng.random() < 0.15 else float(np.clip(np.exp(rng.normal(1.55, 0.5)), 1, 15)),
        scr=float(np.exp(rng.uniform(*np.log(ranges.scr)))),
        dark=bool(rng.random() < ranges.dark),
        velocity=(float(rng.normal(0, 1)), float(rng.normal(0, 1))) if moving else (0.0, 0.0),
    )


def _sensor(bits: int, rng: np.random.Generator) -> Sensor:
    return Sensor(
        bits=bits,
        well=float(np.exp(rng.uniform(*np.log((3e5, 3e7))))),
        read=float(np.exp(rng.uniform(*np.log((0.0003, 0.004))))),
        pattern=float(rng.uniform(0, 0.0006)),
        stripes=float(rng.choice([0.0, 1.0], p=[0.7, 0.3]) * rng.uniform(0.0003, 0.002)),
        faults=float(rng.choice([0.0, 1.0], p=[0.85, 0.15]) * rng.uniform(0, 1e-4)),
        grain=float(rng.choice([0.0, 1.0], p=[0.25, 0.75]) * rng.uniform(0.5, 1.6)),
        sharpening=float(rng.choice([0.0, 1.0], p=[0.7, 0.3]) * rng.uniform(0.2, 1.2)),
        gain=float(rng.choice([1.0, rng.uniform(1, 4)])),
    )
