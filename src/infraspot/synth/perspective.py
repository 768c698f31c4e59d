"""A camera above level ground, and a painter that keeps account of what it paints."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from infraspot.synth.clutter import Clutter, Perch, Place
from infraspot.synth.fractal import Field
from infraspot.synth.optics import binned

FINE = 2  # painted pixels to a pixel of the frame, along each side
_BEYOND = 8  # frame sizes that a corner may lie outside the frame

Point = tuple[float, float, float]  # metres to the right of the camera, above the ground, and ahead


class Camera(NamedTuple):
    """A level pinhole camera.

    ``focal`` and ``horizon`` (a row, which may lie outside the frame) are in pixels, ``height`` in metres
    above the ground.
    """

    shape: tuple[int, int]
    focal: float
    horizon: float
    height: float

    def project(self, points: Sequence[Point]) -> list[Place]:
        """Places of points ahead, in pixels; far outside the frame they are clipped."""
        reach, middle = float(_BEYOND * max(self.shape)), self.shape[1] / 2
        places = []
        for x, y, z in points:
            scale = self.focal / z
            row, column = self.horizon + scale * (self.height - y), middle + scale * x
            places.append((max(-reach, min(row, reach)), max(-reach, min(column, reach))))
        return places

    def depth(self) -> Field:
        """(H, 1) metres to the ground that each row shows; above the horizon that of the first row below."""
        below = np.arange(self.shape[0], dtype=np.float32) + np.float32(0.5 - self.horizon)
        return np.float32(self.focal * self.height) / np.maximum(below, 0.5)[:, None]


class Air(NamedTuple):
    """What lies between: its radiance, and the depth in metres at which it has taken two thirds over."""

    radiance: float
    sight: float


class Painted(NamedTuple):
    """What a painter hands over.

    ``radiance`` and ``depth`` (metres, infinite for the sky) are (H, W) float32, ``floor`` (open ground)
    is (H, W) bool; ``things`` are those to be
    seen, and ``perches`` the places on them where spots may be.
    """

    radiance: Field
    depth: Field
    floor: NDArray[np.bool_]
    things: list[Clutter]
    perches: list[Perch]


class Painter:
    """Paints things from far to near, each hazed by its depth.

    Everything painted between two calls of :meth:`begin` is one thing: it has a name, a depth, and the part
    of it that nearer things leave open is known.

    Parameters
    ----------
    behind
        (H, W) radiance of sky and open ground.
    camera, air
        Geometry and haze.
    """

    def __init__(self, behind: Field, camera: Camera, air: Air) -> None:
        self.camera, self.air = camera, air
        self._picture = Image.fromarray(behind.repeat(FINE, 0).repeat(FINE, 1))
        self._owners = Image.new("I", self._picture.size)
        self._brushes = ImageDraw.Draw(self._picture), ImageDraw.Draw(self._owners)
        self._names: list[str] = []
        self._depths: list[float] = [np.inf]
        self._roughness: list[float] = [0.0]
        self._perches: list[tuple[int, Perch]] = []

    def begin(self, name: str, depth: float, roughness: float = 0.0) -> None:
        """Begin a thing; ``roughness`` is how much of the frame's texture it takes on."""
        self._names.append(name)
        self._depths.append(depth)
        self._roughness.append(roughness * self._clarity(depth))

    def face(self, corners: Sequence[Point], radiance: float) -> None:
        """A flat face."""
        places = self._places(corners)
        for brush, ink in zip(self._brushes, self._inks(radiance), strict=True):
            brush.polygon(places, fill=ink)

    def inlay(self, corners: Sequence[Point], radiance: float) -> None:
        """A part of a face that the present thing has already."""
        self._brushes[0].polygon(self._places(corners), fill=self._inks(radiance)[0])

    def line(self, points: Sequence[Point], breadth: float, radiance: float) -> None:
        """A line of ``breadth`` metres; one too thin for the camera is fainter instead."""
        places = self._places(points)
        width = FINE * self.camera.focal * breadth / self._depths[-1]
        radiance = self.air.radiance + (radiance - self.air.radiance) * min(1.0, width)
        for brush, ink in zip(self._brushes, self._inks(radiance), strict=True):
            brush.line(places, fill=ink, width=max(round(width), 1))

    def stamp(self, form: Image.Image, foot: Point, width: float, height: float, radiance: float) -> None:
        """A form (an image of mode L, set from 128) that stands on ``foot``, in metres."""
        x, y, z = foot
        corners = self._places([(x - width / 2, y + height, z), (x + width / 2, y, z)])
        (left, top), (right, bottom) = ((round(u), round(v)) for u, v in corners)
        window = max(left, 0), max(top, 0), min(right, self._picture.width), min(bottom, self._picture.height)
        if window[2] <= window[0] or window[3] <= window[1]:
            return
        across, down = form.width / (right - left), form.height / (bottom - top)
        source = (
            (window[0] - left) * across,
            (window[1] - top) * down,
            (window[2] - left) * across,
            (window[3] - top) * down,
        )
        size = (window[2] - window[0], window[3] - window[1])
        mask = form.resize(size, Image.Resampling.BILINEAR, source).point(
            lambda level: 255 * (level >= 128), "1"
        )
        for layer, ink in zip((self._picture, self._owners), self._inks(radiance), strict=True):
            layer.paste(ink, window[:2], mask)

    def perch(self, name: str, point: Point) -> None:
        """A spot of that kind may be at a point of the present thing."""
        row, column = self.camera.project([point])[0]
        self._perches.append((len(self._names), Perch(name, (row, column), self.camera.focal / point[2])))

    def finish(self, texture: Field) -> Painted:
        """Give the things their texture (H, W) and hand over what is to be seen."""
        owners = np.asarray(self._owners)[::FINE, ::FINE]
        open_ground = np.where(
            np.arange(len(owners))[:, None] < self.camera.horizon, np.inf, self.camera.depth()
        )
        depth = np.where(
            owners > 0, np.array(self._depths, np.float32)[owners], open_ground.astype(np.float32)
        )
        rough = np.array(self._roughness, np.float32)[owners]
        seen = ndimage.find_objects(owners, len(self._names))
        things = [
            Clutter(name, (float(x.start), float(y.start), float(x.stop), float(y.stop)))
            for name, (y, x) in ((n, place) for n, place in zip(self._names, seen, strict=True) if place)
        ]
        perches = [perch for number, perch in self._perches if _owner(owners, perch.place) == number]
        radiance = binned(np.asarray(self._picture), FINE) + rough * texture
        return Painted(radiance, depth, (owners == 0) & np.isfinite(depth), things, perches)

    def _places(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        """(column, row) on the fine grid."""
        return [(FINE * column, FINE * row) for row, column in self.camera.project(points)]

    def _clarity(self, depth: float) -> float:
        return math.exp(-depth / self.air.sight)

    def _inks(self, radiance: float) -> tuple[float, int]:
        clear = self._clarity(self._depths[-1])
        return float(self.air.radiance + (radiance - self.air.radiance) * clear), len(self._names)


def _owner(owners: NDArray[np.int32], place: Place) -> int:
    """The number of the thing at a place, -1 outside the frame."""
    row, column = (int(np.floor(value)) for value in place)
    inside = 0 <= row < owners.shape[0] and 0 <= column < owners.shape[1]
    return int(owners[row, column]) if inside else -1
