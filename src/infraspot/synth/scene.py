"""Whole scenes: a background, targets of a wanted contrast, a sensor, and the exact truth."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.geometry import find_components
from infraspot.synth.backgrounds import BACKGROUNDS, Background
from infraspot.synth.clutter import (
    FAULTS,
    Clutter,
    Frame,
    Place,
    Spot,
    break_elements,
    faults,
    kinds_of_spots,
    scatter,
)
from infraspot.synth.fractal import Field
from infraspot.synth.motion import CameraWay, camera_way, crossed, hidden
from infraspot.synth.sensor import Array, Gain, automatic_gain, digitise, expose, make_array, noise
from infraspot.synth.spec import SceneRanges, SceneSpec, draw_spec
from infraspot.synth.targets import Pattern, moved, target_pattern

_APART = 24
_ATTEMPTS = 60
_ROUNDS = 8


class Scene(NamedTuple):
    """One generated scene: its parameters, and its frames in the order of time."""

    spec: SceneSpec
    frames: list[Frame]


def scene_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of scene ``index``: it depends on these two numbers and nothing else."""
    return np.random.default_rng([seed, index])


def generate(count: int, seed: int, ranges: SceneRanges | None = None, *, first: int = 0) -> Iterator[Scene]:
    """Scenes ``first`` to ``first + count - 1`` of the endless series that ``seed`` and ``ranges`` define.

    The id of a scene names its seed and its number, so that scenes of several seeds can be used together.
    """
    for index in range(first, first + count):
        rng = scene_rng(seed, index)
        spec = draw_spec(ranges or SceneRanges(), rng)
        yield Scene(spec, generate_sequence(spec, rng, f"scene_{seed}_{index:06d}"))


def generate_scene(spec: SceneSpec, rng: np.random.Generator, name: str = "scene") -> Frame:
    """The first frame of a scene."""
    return generate_sequence(spec, rng, name)[0]


def generate_sequence(spec: SceneSpec, rng: np.random.Generator, name: str = "scene") -> list[Frame]:
    """All frames of a scene, with image, mask, points, boxes, sky and clutter.

    The faults of the detector, the gain and the energy of each target stay the same through the sequence;
    noise is drawn anew for each frame. Targets that leave the frame disappear from its truth. Spots of
    clutter begin away from targets, which may later cross them.

    Parameters
    ----------
    spec
        What to show.
    rng
        Source of all randomness.
    name
        Id of the sample; frames of a sequence get ``_0000`` and so on behind it.
    """
    way = camera_way(spec, rng)
    wide = _wide_background(spec, way, rng)
    array = make_array(spec.sensor, (spec.height, spec.width), rng)
    background = _seen(spec, wide, way, 0)
    places = _places(spec, background, rng)
    targets = crossed(spec, places)
    still = [
        target_pattern(place, target.diameter, spec.optics, rng, mask_share=spec.mask_share)
        for place, target in zip(places, targets, strict=True)
    ]
    spots, array = _clutter(spec, background, array, [pattern.centre for pattern in still], rng)
    first = _with_spots(background.radiance, spots)
    draws = noise(spec.sensor, first, rng)
    energies = _energies(spec, first, array, draws, still)
    gone = hidden(targets, spec.frames, rng)
    gain: Gain | None = None
    frames = []
    for t in range(spec.frames):
        if t:
            background = _seen(spec, wide, way, t)
            spots_now = [spot.after(t, _pair(way.near[t]), _pair(way.shake[t])) for spot in spots]
            behind = _with_spots(background.radiance, spots_now)
            draws = noise(spec.sensor, behind, rng)
        else:
            spots_now, behind = spots, first
        patterns = [
            moved(pattern, _pair(t * np.array(target.velocity) + way.shake[t]), spec.mask_share)
            for pattern, target in zip(still, targets, strict=True)
        ]
        radiance = _with_targets(behind, patterns, np.where(gone[:, t], 0, energies))
        signal = expose(spec.sensor, array, radiance, draws)
        gain = gain or automatic_gain(spec.sensor, signal)
        image = digitise(spec.sensor, array, signal, gain)
        visible = {number: pattern for number, pattern in enumerate(patterns, 1) if not gone[number - 1, t]}
        sample = _sample(_frame_name(name, spec, t), spec, image, visible, background.sky, _pair(way.far[t]))
        frames.append(sample.replace(clutter=_listed(background.things, spots_now, array, sample)))
    return frames


def _frame_name(name: str, spec: SceneSpec, t: int) -> str:
    return name if spec.frames == 1 else f"{name}_{t:04d}"


def _pair(way: NDArray[np.float64]) -> tuple[float, float]:
    return float(way[0]), float(way[1])


def _wide_background(spec: SceneSpec, way: CameraWay, rng: np.random.Generator) -> Background:
    """A background with room for the camera's way, through the optics."""
    rows, columns = way.room
    made = BACKGROUNDS[spec.kind]((spec.height + rows, spec.width + columns), rng)
    return made._replace(radiance=spec.optics.soften(made.radiance))


def _seen(spec: SceneSpec, wide: Background, way: CameraWay, t: int) -> Background:
    """The part of a wide background that frame ``t`` shows; with parallax, ground moves before the sky."""
    if spec.frames == 1:
        return wide
    shape = (spec.height, spec.width)
    near = wide.moved(way.cut(way.near, t), shape)
    if not spec.parallax or near.sky.all() or not near.sky.any():
        return near
    far = wide.moved(way.cut(way.far, t), shape)
    return near._replace(radiance=np.where(near.sky == 0, near.radiance, far.radiance))


def _clutter(
    spec: SceneSpec, background: Background, array: Array, taken: list[Place], rng: np.random.Generator
) -> tuple[list[Spot], Array]:
    """The spots of a scene, and the array with those that are faults of its own; none near a taken place.

    Birds fly; the other spots go with the background.
    """
    if not spec.clutter:
        return [], array
    kinds = kinds_of_spots(spec.clutter, background, rng)
    broken = [kind for kind in kinds if kind in FAULTS]
    spots = scatter([kind for kind in kinds if kind not in FAULTS], background, taken, spec.optics, rng)
    spots = [
        spot._replace(velocity=(rng.normal(), rng.normal())) if spot.name == "bird" else spot
        for spot in spots
    ]
    return spots, break_elements(broken, array, taken, rng)


def _with_spots(radiance: Field, spots: list[Spot]) -> Field:
    strengths = np.array([spot.strength for spot in spots], np.float64)
    return _with_targets(radiance, [spot.pattern for spot in spots], strengths) if spots else radiance


def _listed(
    things: tuple[Clutter, ...], spots: list[Spot], array: Array, sample: Frame
) -> tuple[Clutter, ...]:
    """All that the frame shows and is no target."""
    assert sample.mask is not None
    boxes = (spot.box(sample.shape) for spot in spots)
    return (*things, *(box for box in boxes if box), *faults(array, sample.mask))


def _places(spec: SceneSpec, background: Background, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Positions apart from each other, in the open air of the background where there is room."""
    margin = min(4, (min(spec.height, spec.width) - 1) // 2)
    inner = np.zeros_like(background.open_air)
    inner[margin : spec.height - margin, margin : spec.width - margin] = True
    candidates = np.flatnonzero(background.open_air & inner)
    candidates = candidates if len(candidates) else np.flatnonzero(inner)
    places: list[tuple[float, float]] = []
    for _ in range(_ATTEMPTS * len(spec.targets)):
        if len(places) == len(spec.targets):
            break
        y, x = divmod(int(rng.choice(candidates)), spec.width)
        place = (y + rng.uniform(-0.5, 0.5), x + rng.uniform(-0.5, 0.5))
        if all(np.hypot(place[0] - a, place[1] - b) >= _APART for a, b in places):
            places.append(place)
    return places


def _with_targets(radiance: Field, patterns: list[Pattern], energies: NDArray[np.float64]) -> Field:
    total = radiance.copy()
    for pattern, energy in zip(patterns, energies, strict=True):
        there, here = pattern.cut((total.shape[0], total.shape[1]))
        total[there] += np.float32(energy) * pattern.signal[here]
    return np.clip(total, 0, None)


def _truth(shape: tuple[int, int], patterns: list[Pattern]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for pattern in patterns:
        there, here = pattern.cut(shape)
        mask[there] |= pattern.mask[here]
    return mask


def _energies(
    spec: SceneSpec, radiance: Field, array: Array, draws: Field, patterns: list[Pattern]
) -> NDArray[np.float64]:
    """Peak radiance of each target, signed, such that the wanted SCR comes out.

    The noise of the frame is already drawn, so the ratio can be met and not only expected: start above, then
    correct by the ratio of wanted to realised. Dark targets cannot be darker than nothing, and bright ones
    no more than twice full scale; there the realised SCR stays below the wanted one.
    """
    targets, shape = spec.targets[: len(patterns)], (spec.height, spec.width)
    sign = np.array([-1.0 if target.dark else 1.0 for target in targets])
    wanted = np.array([target.scr for target in targets])
    parts = find_components(_truth(shape, patterns))
    owner = np.array([int(parts.labels[_nearest(pattern, shape)]) - 1 for pattern in patterns], np.intp)
    energies = sign * np.minimum(0.05 + 3 * wanted * (float(draws.std()) + _spread(radiance, patterns)), 2)
    for _ in range(_ROUNDS if len(patterns) else 0):
        signal = expose(spec.sensor, array, _with_targets(radiance, patterns, energies), draws)
        realised = signal_to_clutter(signal, parts)[owner]
        correction = np.nan_to_num(wanted / np.maximum(realised, 1e-6), nan=1.0)
        energies = np.clip(energies * np.clip(correction, 0.4, 2.5), -1, 2)
    return energies


def _nearest(pattern: Pattern, shape: tuple[int, int]) -> tuple[int, int]:
    """The pixel of the frame where the target is brightest."""
    there, here = pattern.cut(shape)
    y, x = np.unravel_index(int(pattern.signal[here].argmax()), pattern.signal[here].shape)
    return there[0].start + int(y), there[1].start + int(x)


def _spread(radiance: Field, patterns: list[Pattern]) -> NDArray[np.float64]:
    places = [pattern.cut((radiance.shape[0], radiance.shape[1]))[0] for pattern in patterns]
    return np.array([radiance[place].std() for place in places], np.float64)


def _sample(
    name: str,
    spec: SceneSpec,
    image: Field,
    visible: dict[int, Pattern],
    sky: NDArray[np.uint8],
    way: tuple[float, float],
) -> Frame:
    """The truth of a frame; ``visible`` are the targets by their number from 1 on."""
    shape = (spec.height, spec.width)
    inside = {
        number: p
        for number, p in visible.items()
        if all(0 <= c < side for c, side in zip(np.rint(p.centre), shape, strict=True))
    }
    boxes = [find_components(_truth(shape, [pattern])).boxes for pattern in inside.values()]
    return Frame(
        id=name,
        image=image,
        mask=_truth(shape, list(inside.values())),
        points=np.array([pattern.centre for pattern in inside.values()], np.float64).reshape(-1, 2),
        boxes=np.array([[*box[:, :2].min(0), *box[:, 2:].max(0)] for box in boxes], np.float64).reshape(
            -1, 4
        ),
        sky=sky,
        tracks=np.array(list(inside), np.int64) if spec.frames > 1 else None,
        bit_depth=8 if spec.sensor.bits == 8 else 16,
        way=way,
    )
