"""What is in a frame and is no target: things, and small hot spots that a detector may take for targets."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from infraspot.core.sample import Sample
from infraspot.synth.fractal import Field
from infraspot.synth.optics import Optics
from infraspot.synth.sensor import Array
from infraspot.synth.targets import Pattern, moved, target_pattern

# Share of each kind of spot, and its size in metres. Faults of the detector have no size.
SPOTS: dict[str, tuple[float, tuple[float, float]]] = {
    "lamp": (0.22, (0.25, 0.6)),
    "exhaust": (0.14, (0.2, 0.8)),
    "glint": (0.16, (0.05, 0.3)),
    "litter": (0.28, (0.05, 0.35)),
    "bird": (0.06, (0.2, 0.6)),
    "hot": (0.10, (0.0, 0.0)),
    "dead": (0.04, (0.0, 0.0)),
}
FAULTS = ("hot", "dead")
CLEAR = 24  # pixels between a spot and the centre of a target
_ON_THINGS = 0.7  # of the spots that something in the frame could carry
_MASK_SHARE = 1 / 3  # as for targets
_SMALL = 1.0  # pixels: spots that are near are cut to about one or two of these
_FAINTEST = 0.2  # of the strength, however small the spot
_SCALES = (2.0, 20.0)  # pixels to a metre where the background has no depth
_EXCESS = (0.05, 1.0)  # of the scale, by a hot element

Place = tuple[float, float]  # (row, column) in pixels


class Clutter(NamedTuple):
    """Something that is no target: what it is, and its box (x0, y0, x1, y1) in pixels, half-open."""

    name: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Frame(Sample):
    """A generated frame: a sample that also knows what is no target.

    Attributes
    ----------
    clutter
        Things and spots to be seen in the whole frame; a transform keeps this list as it is.
    way
        (y, x) pixels by which the background has moved in the image since the first frame of a sequence.
    """

    clutter: tuple[Clutter, ...] = field(default=())
    way: Place = (0.0, 0.0)


class Perch(NamedTuple):
    """Where a spot may be: the kind of spot, and (row, column) in pixels with the scale there."""

    name: str
    place: Place
    scale: float  # pixels a metre


class Spot(NamedTuple):
    """A spot of light: its kind, what it adds at its peak, its pattern, and its way a frame (y, x).

    A spot without a way of its own stands on the ground.
    """

    name: str
    strength: float
    pattern: Pattern
    velocity: Place | None = None

    def after(self, t: int, ground: Place, shake: Place) -> "Spot":
        """The spot ``t`` frames later, once the ground and a shaking camera have gone so far."""
        way = ground
        if self.velocity is not None:
            way = (self.velocity[0] * t + shake[0], self.velocity[1] * t + shake[1])
        return self._replace(pattern=moved(self.pattern, way, _MASK_SHARE))

    def box(self, shape: tuple[int, int]) -> Clutter | None:
        """What the frame shows of it, None where it lies outside."""
        there, here = self.pattern.cut(shape)
        rows, columns = np.nonzero(self.pattern.mask[here])
        if not len(rows):
            return None
        y, x = there[0].start, there[1].start
        box = (x + columns.min(), y + rows.min(), x + columns.max() + 1, y + rows.max() + 1)
        return Clutter(self.name, (float(box[0]), float(box[1]), float(box[2]), float(box[3])))


class Ground(Protocol):
    """What spots need to know of a background."""

    @property
    def sky(self) -> NDArray[np.uint8]: ...
    @property
    def floor(self) -> NDArray[np.bool_]: ...
    @property
    def scale(self) -> Field | None: ...
    @property
    def perches(self) -> tuple[Perch, ...]: ...


def scatter(
    names: list[str], ground: Ground, taken: list[Place], optics: Optics, rng: np.random.Generator
) -> list[Spot]:
    """Draw spots of the named kinds, each where such a thing may be.

    Birds are in the sky. Litter lies about; lamps, exhausts and glints are mostly on what carries them. Those
    that would lie outside the frame, or too near to one of the ``taken`` places, are left out.
    """
    spots = []
    places = {"bird": np.flatnonzero(ground.sky), "litter": np.flatnonzero(ground.floor)}
    elsewhere = np.flatnonzero(ground.sky == 0)
    free = [ground.perches[number] for number in rng.permutation(len(ground.perches))]
    for name in names:
        carrier = next((number for number, perch in enumerate(free) if perch.name == name), None)
        if carrier is not None and rng.random() < _ON_THINGS:
            perch = free.pop(carrier)
        else:
            perch = _anywhere(name, ground, places.get(name, elsewhere), rng)
        inside = all(0 <= at < side for at, side in zip(perch.place, ground.sky.shape, strict=True))
        if inside and _clear(perch.place, taken):
            spots.append(_spot(perch, optics, rng))
    return spots


def _spot(perch: Perch, optics: Optics, rng: np.random.Generator) -> Spot:
    """A spot smaller than a pixel is fainter instead."""
    diameter = min(perch.scale * rng.uniform(*SPOTS[perch.name][1]), _SMALL + rng.exponential(_SMALL))
    strength = _strength(perch.name, rng) * min(1.0, max(diameter, _FAINTEST))
    winged = 1.0 if perch.name == "bird" else 0.0
    return Spot(
        perch.name,
        strength,
        target_pattern(perch.place, diameter, optics, rng, mask_share=_MASK_SHARE, winged=winged),
    )


def kinds_of_spots(count: int, ground: Ground, rng: np.random.Generator) -> list[str]:
    """Draw kinds of spots that a frame has room for; faults of the detector are always possible."""
    possible = {
        "bird": ground.sky.any(),
        "litter": ground.floor.any(),
        **dict.fromkeys(("lamp", "exhaust", "glint"), not ground.sky.all()),
    }
    names = [name for name in SPOTS if possible.get(name, True)]
    shares = np.array([SPOTS[name][0] for name in names])
    return [str(name) for name in rng.choice(names, count, p=shares / shares.sum())]


def _anywhere(name: str, ground: Ground, places: NDArray[np.intp], rng: np.random.Generator) -> Perch:
    y, x = divmod(int(rng.choice(places)), ground.sky.shape[1])
    scale = 0.0 if ground.scale is None else float(ground.scale[y, x])
    drawn = float(np.exp(rng.uniform(*np.log(_SCALES))))
    return Perch(name, (y + rng.uniform(-0.5, 0.5), x + rng.uniform(-0.5, 0.5)), scale or drawn)


def _clear(place: Place, taken: list[Place]) -> bool:
    return all(np.hypot(place[0] - y, place[1] - x) >= CLEAR for y, x in taken)


def _strength(name: str, rng: np.random.Generator) -> float:
    """What a spot of a pixel or more adds at its peak; litter and birds may be colder than what is behind."""
    if name in ("litter", "bird"):
        return float(rng.choice([-1, 1], p=[0.35, 0.65]) * np.exp(rng.uniform(*np.log((0.03, 0.35)))))
    return float(np.exp(rng.uniform(*np.log((0.1, 0.9)))))


def break_elements(names: list[str], array: Array, taken: list[Place], rng: np.random.Generator) -> Array:
    """Make some elements of an array ``dead``, or ``hot`` by a part of the scale; none near a taken place."""
    offsets, dead, warm = array.offsets.copy(), array.dead.copy(), array.warm.copy()
    for name in names:
        y, x = (int(rng.integers(side)) for side in dead.shape)
        excess = float(np.exp(rng.uniform(*np.log(_EXCESS))))
        if not _clear((y, x), taken) or dead[y, x] or array.hot[y, x]:
            continue
        if name == "dead" and not warm[y, x]:
            dead[y, x] = True
        elif name == "hot":
            warm[y, x], offsets[y, x] = True, array.offsets[y, x] + np.float32(excess)
    return replace(array, offsets=offsets, dead=dead, warm=warm)


def faults(array: Array, mask: NDArray[np.bool_]) -> list[Clutter]:
    """The broken elements outside the targets."""
    return [
        Clutter(name, (float(x), float(y), float(x + 1), float(y + 1)))
        for name, broken in (("hot", array.hot | array.warm), ("dead", array.dead))
        for y, x in np.argwhere(broken & ~mask)
    ]


def shown(things: Iterable[Clutter], way: Place, shape: tuple[int, int]) -> list[Clutter]:
    """The things moved by ``way`` (rows, columns), cut to the frame; those outside are left out."""
    moved = []
    for name, box in things:
        x0, x1 = (min(max(x + way[1], 0.0), float(shape[1])) for x in (box[0], box[2]))
        y0, y1 = (min(max(y + way[0], 0.0), float(shape[0])) for y in (box[1], box[3]))
        if x1 > x0 and y1 > y0:
            moved.append(Clutter(name, (x0, y0, x1, y1)))
    return moved
