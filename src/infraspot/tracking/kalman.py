"""Constant-velocity Kalman filter of many points at once.

Both axes have the same noise, so that one covariance matrix of place and speed serves both. Three entries of
it are kept: the variance of the place, the covariance of both, and the variance of the speed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TRACK = np.dtype(
    [
        ("id", "i8"),
        ("name", "i8"),
        ("place", "f8", 2),
        ("speed", "f8", 2),
        ("cov", "f8", 3),
        ("score", "f8"),
        ("looks", "f8", 4),
        ("evidence", "f8"),
        ("hits", "i8"),
        ("seen", "u8"),
        ("missed", "i8"),
        ("gap", "i8"),
        ("born", "i8"),
        ("last", "i8"),
        ("confirmed", "?"),
        ("seen_at", "f8", 2),
        ("first_image", "f8", 2),
        ("first_camera", "f8", 2),
        ("image_way", "f8"),
        ("camera_way", "f8"),
    ]
)
"""One track: ``place`` (y, x) and ``speed`` in the frame of the background; ``seen_at`` in the image.
``looks`` are sums over its hits: log-odds of the score, log-odds of the chance, the chance,
hits without the blur of a lens."""


def predict(tracks: NDArray[Any], frames: int, jerk: float, drift: float) -> None:
    """Move every track on by ``frames`` frame times, in place.

    Parameters
    ----------
    jerk
        Standard deviation of the change of speed in one frame, pixels a frame.
    drift
        Standard error of the background's motion in these frames, pixels.
    """
    t, q = float(frames), jerk**2
    tracks["place"] += t * tracks["speed"]
    place, both, speed = tracks["cov"].T.copy()
    tracks["cov"][:, 0] = place + 2 * t * both + t * t * speed + q * t**3 / 3 + drift**2
    tracks["cov"][:, 1] = both + t * speed + q * t**2 / 2
    tracks["cov"][:, 2] = speed + q * t


def update(tracks: NDArray[Any], places: NDArray[np.float64], blur: float) -> NDArray[Any]:
    """The tracks after a detection each.

    Parameters
    ----------
    places
        (N, 2) as (y, x), one for each track.
    blur
        Standard deviation of a detection's place, pixels.
    """
    out = tracks.copy()
    place, both, speed = tracks["cov"].T
    total = place + blur**2
    gain, gain_speed = place / total, both / total
    off = places - tracks["place"]
    out["place"] += gain[:, None] * off
    out["speed"] += gain_speed[:, None] * off
    out["cov"] = np.stack([(1 - gain) * place, (1 - gain) * both, speed - gain_speed * both], axis=1)
    return out
