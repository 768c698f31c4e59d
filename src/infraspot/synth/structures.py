"""Things that stand on the ground, painted in metres: buildings, poles, wires, fences, vehicles."""

import numpy as np

from infraspot.synth.perspective import FINE, Painter, Point

_MOST_WINDOWS = 40  # rows and columns of one wall


def building(
    painter: Painter, place: Point, size: tuple[float, float, float], warmth: float, rng: np.random.Generator
) -> None:
    """A block of ``size`` (width, height, length) metres whose nearest edge's middle is ``place``."""
    (x, base, z), (width, height, length) = place, size
    painter.begin("building", z, roughness=0.012)
    left, right, top, far = x - width / 2, x + width / 2, base + height, z + length
    flank = warmth * rng.uniform(0.75, 1.1)
    if painter.camera.height > top:
        roof = warmth * rng.uniform(0.55, 1.2)
        painter.face([(left, top, z), (right, top, z), (right, top, far), (left, top, far)], roof)
        for _ in range(int(rng.integers(0, 4))):
            painter.perch("glint", (rng.uniform(left, right), top, rng.uniform(z, far)))
    if left > 0 or right < 0:
        side = left if left > 0 else right
        painter.face([(side, base, z), (side, top, z), (side, top, far), (side, base, far)], flank)
        _windows(painter, (side, base, z), (0.0, length), height, flank, rng)
    painter.face([(left, base, z), (right, base, z), (right, top, z), (left, top, z)], warmth)
    _windows(painter, (left, base, z), (width, 0.0), height, warmth, rng)
    rim = warmth * rng.uniform(0.6, 1.4)
    painter.line([(left, top, z), (right, top, z)], 0.4, rim)
    for _ in range(int(rng.integers(0, 4))):
        painter.perch("lamp", (rng.uniform(left, right), rng.uniform(0.3, 0.95) * height + base, z))
    for _ in range(int(rng.integers(0, 3))):
        _rooftop(painter, (rng.uniform(left, right), top, z), rng)


def house(
    painter: Painter, place: Point, size: tuple[float, float, float], warmth: float, rng: np.random.Generator
) -> None:
    """A house with a gabled roof whose ridge runs along its front."""
    (x, base, z), (width, height, length) = place, size
    painter.begin("building", z, roughness=0.012)
    left, right, eaves, ridge = x - width / 2, x + width / 2, base + height, base + height + 0.3 * length
    side = left if x > 0 else right
    middle, far, flank = z + length / 2, z + length, warmth * rng.uniform(0.75, 1.1)
    gable = [(side, base, z), (side, eaves, z), (side, ridge, middle), (side, eaves, far), (side, base, far)]
    painter.face(gable, flank)
    painter.face([(left, base, z), (right, base, z), (right, eaves, z), (left, eaves, z)], warmth)
    _windows(painter, (left, base, z), (width, 0.0), height, warmth, rng)
    painter.begin("roof", z, roughness=0.025)
    roof = warmth * rng.uniform(0.5, 1.15)
    painter.face([(left, eaves, z), (right, eaves, z), (right, ridge, middle), (left, ridge, middle)], roof)
    painter.line([(left, ridge, middle), (right, ridge, middle)], 0.25, roof * rng.uniform(1.0, 1.3))
    if rng.random() < 0.5:
        _rooftop(painter, (rng.uniform(left, right), (eaves + ridge) / 2, middle), rng)
    painter.perch("glint", (rng.uniform(left, right), (eaves + ridge) / 2, (z + middle) / 2))


def _rooftop(painter: Painter, foot: Point, rng: np.random.Generator) -> None:
    """A chimney, tank or lift house."""
    x, y, z = foot
    width, height = rng.uniform(0.4, 3), rng.uniform(0.6, 3)
    painter.face(
        [(x, y, z), (x + width, y, z), (x + width, y + height, z), (x, y + height, z)], rng.uniform(0.3, 0.8)
    )
    painter.perch("exhaust", (x + width / 2, y + height * 0.8, z))


def _windows(
    painter: Painter,
    corner: Point,
    run: tuple[float, float],
    height: float,
    warmth: float,
    rng: np.random.Generator,
) -> None:
    """Windows in rows on a wall that runs from ``corner`` by ``run`` metres (to the right, ahead)."""
    x, base, z = corner
    storey, bay = rng.uniform(2.8, 3.8), rng.uniform(2, 5)
    length = float(np.hypot(*run))
    rows, columns = int(min(height / storey, _MOST_WINDOWS)), int(min(length / bay, _MOST_WINDOWS))
    if not rows or not columns or FINE * painter.camera.focal * 1.2 / (z + run[1] / 2) < 2:
        return
    glass, spread, wide, tall = (
        rng.uniform(0.3, 1.25),
        rng.uniform(0, 0.25),
        rng.uniform(0.3, 0.8),
        rng.uniform(1, 2),
    )
    missing = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0
    tones = np.clip(warmth * glass * (1 + spread * rng.standard_normal((rows, columns))), 0.05, 1).tolist()
    shut = (rng.random((rows, columns)) < missing).tolist()
    for row in range(rows):
        low = base + storey * (row + 0.3)
        for column in range(columns):
            if not shut[row][column]:
                first, last = ((column + share) / columns for share in (0.5 - wide / 2, 0.5 + wide / 2))
                a, b = x + run[0] * first, x + run[0] * last
                near, far = z + run[1] * first, z + run[1] * last
                pane = [(a, low, near), (b, low, far), (b, low + tall, far), (a, low + tall, near)]
                painter.inlay(pane, tones[row][column])


def pole(
    painter: Painter, foot: Point, height: float, warmth: float, rng: np.random.Generator, *, arm: float = 0.0
) -> None:
    """A lamp post; ``arm`` metres of arm, to the right where positive, with the lamp at its end."""
    x, base, z = foot
    painter.begin("pole", z)
    top = base + height
    painter.line([(x, base, z), (x, top, z)], 0.18, warmth)
    if arm:
        elbow = (x + arm, top + 0.3, z)
        painter.line([(x, top - 0.8, z), (x + arm / 2, top + 0.1, z), elbow], 0.1, warmth)
        painter.line([elbow, (x + 1.3 * arm, top + 0.2, z)], 0.3, warmth * rng.uniform(1, 1.2))
        painter.perch("lamp", (x + 1.15 * arm, top + 0.25, z))
    if rng.random() < 0.25:
        sign(painter, (x, base + height * rng.uniform(0.4, 0.6), z), rng)


def sign(painter: Painter, foot: Point, rng: np.random.Generator) -> None:
    """A board."""
    x, y, z = foot
    width, height = rng.uniform(0.6, 3), rng.uniform(0.6, 2)
    painter.begin("sign", z)
    board = [(x, y, z), (x + width, y, z), (x + width, y + height, z), (x, y + height, z)]
    painter.face(board, rng.uniform(0.5, 0.95))


def pylons(
    painter: Painter, feet: list[Point], height: float, warmth: float, rng: np.random.Generator
) -> None:
    """Masts with cross-arms, from far to near, and the wires between them."""
    arms = [height * share for share in (0.95, 0.85)][: int(rng.integers(1, 3))]
    half, sag = rng.uniform(0.6, 1.6), rng.uniform(0.3, 1.2)
    for number, (x, base, z) in enumerate(feet):
        painter.begin("pole", z)
        painter.line([(x, base, z), (x, base + height, z)], 0.25, warmth)
        for arm in arms:
            painter.line([(x - half, base + arm, z), (x + half, base + arm, z)], 0.12, warmth)
        painter.perch("glint", (x, base + arms[0], z))
        if number:
            painter.begin("wire", z)
            behind = feet[number - 1]
            for arm in arms:
                for side in (-half, half):
                    _wire(
                        painter,
                        (behind[0] + side, behind[1] + arm, behind[2]),
                        (x + side, base + arm, z),
                        sag,
                    )


def _wire(painter: Painter, start: Point, end: Point, sag: float) -> None:
    share = np.linspace(0, 1, 9)[:, None]
    line = np.array(start) * (1 - share) + np.array(end) * share
    line[:, 1] -= 4 * sag * (share * (1 - share))[:, 0]
    painter.line([(float(x), float(y), float(z)) for x, y, z in line], 0.03, 0.5)


def fence(
    painter: Painter,
    x: float,
    reach: tuple[float, float],
    height: float,
    warmth: float,
    rng: np.random.Generator,
) -> None:
    """Posts and rails along the way ahead, in stretches so that each is hazed by its own depth."""
    far, near = reach[1], reach[0]
    gap, solid = rng.choice([0.25, 2.0, 4.0]), rng.random() < 0.3
    rails = sorted(rng.uniform(0.3, 1, int(rng.integers(1, 4))) * height)
    z = far
    while z > near:
        ahead = max(z * 0.75, near)
        painter.begin("fence", ahead)
        if solid:
            painter.face([(x, 0, ahead), (x, 0, z), (x, height, z), (x, height, ahead)], warmth)
        for rail in rails:
            painter.line([(x, rail, z), (x, rail, ahead)], 0.1, warmth)
        if FINE * painter.camera.focal * 0.06 / ahead > 0.3:
            for post in np.arange(z, ahead, -max(gap, (z - ahead) / 40)):
                painter.line([(x, 0, float(post)), (x, height, float(post))], 0.06 + 0.02 * gap, warmth)
        z = ahead


def vehicle(painter: Painter, foot: Point, warmth: float, rng: np.random.Generator) -> None:
    """A car or lorry from behind: a cold window, warm tyres, a hot underside."""
    x, base, z = foot
    large = rng.random() < 0.25
    width, height = (2.4, rng.uniform(2.6, 3.6)) if large else (1.8, rng.uniform(1.4, 1.8))
    left, right = x - width / 2, x + width / 2
    painter.begin("vehicle", z, roughness=0.006)

    def panel(a: float, b: float, low: float, high: float, tone: float) -> None:
        corners = [
            (left + a * width, low),
            (left + b * width, low),
            (left + b * width, high),
            (left + a * width, high),
        ]
        painter.face([(u, base + v, z) for u, v in corners], tone)

    panel(0, 1, 0.35, height * (1 if large else 0.65), warmth)
    if not large:
        panel(0.12, 0.88, height * 0.65, height, warmth * 0.9)
        panel(0.17, 0.83, height * 0.68, height * 0.93, warmth * rng.uniform(0.3, 0.7))
    panel(0.02, 0.98, 0.25, 0.4, min(warmth * 1.4, 1))
    for a in (0.04, 0.8):
        panel(a, a + 0.16, 0, 0.4, min(warmth * rng.uniform(1.2, 1.6), 1))
    painter.perch("exhaust", (left + rng.choice([0.25, 0.75]) * width, base + 0.33, z))
    for side in (left + 0.1, right - 0.1):
        painter.perch("lamp", (side, base + height * 0.5, z))
