"""From the detections of each frame to rows of tracks, frame by frame and with bounded memory."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import UsageError
from infraspot.tracking.association import associate
from infraspot.tracking.confirmation import Likelihood, OfLast
from infraspot.tracking.kalman import TRACK, predict, update
from infraspot.tracking.registration import Motion

STATES = ("tentative", "confirmed", "coasting")
MOTIONS = ("unknown", "moving", "still", "fixed", "doubtful")
STILL = ("keep", "drop", "flag")
OUTPUTS = ("causal", "retro")

ROW = np.dtype(
    [
        ("frame", "i8"),
        ("id", "i8"),
        ("x", "f8"),
        ("y", "f8"),
        ("vx", "f8"),
        ("vy", "f8"),
        ("score", "f8"),
        ("state", "u1"),
        ("motion", "u1"),
        ("known", "i8"),
        ("track", "i8"),
        ("missed", "i8"),
        ("believed", "?"),
        ("camera", "f8", 2),
    ]
)
"""One track in one frame. ``x``, ``y`` lie in the image; ``vx``, ``vy`` are against the background."""

_TENTATIVE, _CONFIRMED, _COASTING = range(3)
_UNKNOWN, _MOVING, _STILL, _FIXED, _DOUBTFUL = range(5)
_SURE = 2.0  # standard deviations by which a speed differs from none
_HITS_TO_JUDGE = 3
_FIXED_WITHIN, _CAMERA_BEYOND = 0.5, 3.0  # pixels
_APART = 3.0  # pixels between a track and the start of another
_SLOWNESS = 0.9  # share of the old value in the running density of false alarms
_LEAST_DENSITY = 1e-6
_LEAST_SCORE = 1e-6


@dataclass(frozen=True)
class Settings:
    """How detections become tracks.

    Attributes
    ----------
    start
        Score above which a detection may start a track; weaker ones only continue tracks.
    rule
        When a track is confirmed.
    output
        ``"causal"``: a row is final in its own frame, and a track's rows begin where it is confirmed.
        ``"retro"``: rows are final ``delay`` frames later, and a confirmed track has its earlier rows too.
    still
        What becomes of tracks that stand still against the background, or on the sensor. ``"flag"`` writes
        them with their mark, and doubtful ones as well; ``"keep"`` writes those that are surely targets, like
        any other track; ``"drop"`` writes none of them.
    delay
        Frames by which retroactive rows wait, and after which a track must be confirmed.
    coast
        Frames without a detection after which a confirmed track ends; at most ``delay``.
    shown
        Frames without a detection, in a row, for which causal output still writes the track.
    slow
        Speed against the background up to which a track stands still, pixels a frame.
    blur
        Standard deviation of a detection's place, pixels.
    jerk
        Standard deviation of the change of speed in a frame, pixels a frame.
    fastest
        Standard deviation of the speed of a new track along one axis, pixels a frame.
    gate
        Farthest distance between a track and its detection, pixels.
    faint
        Least score of a moving track, as the mean of the log-odds of its hits. It is low, since clutter
        seldom moves evenly against the background.
    sure
        Least chance of any other track before it is surely a target, as the mean of the log-odds of its hits.
        It is high, since a hovering target differs from a structure in its looks alone.
    taken
        Chance at which a detection in a single frame is taken for a target. A track whose hits reach it in
        the mean, but not ``sure``, is doubtful: a hovering target, or a structure that looks like one.
    most
        Most detections used of one frame, the strongest; this bounds time and memory.
    """

    start: float = 1e-3
    rule: Likelihood | OfLast = field(default_factory=Likelihood)
    output: str = "retro"
    still: str = "flag"
    delay: int = 12
    coast: int = 8
    shown: int = 2
    slow: float = 0.3
    blur: float = 0.5
    jerk: float = 0.05
    fastest: float = 1.5
    gate: float = 12.0
    faint: float = 0.004
    sure: float = 0.8
    taken: float = 0.5
    most: int = 1000

    def __post_init__(self) -> None:
        if not 1 <= self.coast <= self.delay:
            raise UsageError(
                f"expected the frames to coast within 1 and the delay of {self.delay}, and {self.coast} came"
            )


class Tracker:
    """Follows points through a sequence; what it holds does not grow with the sequence.

    Tracks live in the frame of the background: their place is that in the image less the way that the camera
    has gone (see :class:`infraspot.tracking.registration.Registrar`). A target that flies on evenly while the
    camera shakes keeps its speed.

    Parameters
    ----------
    shape
        Height and width of the frames.
    """

    def __init__(self, settings: Settings, shape: tuple[int, int]) -> None:
        self.settings, self.shape = settings, shape
        self.camera = np.zeros(2)
        self.tracks = np.zeros(0, TRACK)
        self.held = np.zeros(0, ROW)
        self.density = 3e-5
        self.begun = self.confirmed = 0

    def step(
        self,
        frame: int,
        points: NDArray[Any],
        scores: NDArray[Any],
        motion: Motion,
        frames: int = 1,
        chances: NDArray[Any] | None = None,
        alone: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Take in one frame and return the rows that are final now, in the order of frames.

        Parameters
        ----------
        frame
            Its number, larger than those before.
        points, scores
            (N, 2) as (y, x) in pixels and (N,) in [0, 1]: the detections above the low threshold.
        motion
            Of the background since the frame before.
        frames
            Frame times since the frame before; more than 1 where frames are missing.
        chances
            (N,) in [0, 1]: calibrated chances that the detections are targets, as a second look gives them;
            the scores where there are none.
        alone
            (N,) bool: detections of single pixels or sharp pairs; what is one in most of its hits is a broken
            element of the detector and no track.
        """
        chances = scores if chances is None else chances
        alone = np.zeros(len(scores), bool) if alone is None else alone
        if len(points) > self.settings.most:
            kept = np.sort(np.argsort(-scores, kind="stable")[: self.settings.most])
            points, scores, chances, alone = points[kept], scores[kept], chances[kept], alone[kept]
        self.camera = self.camera + np.array([motion.dy, motion.dx])
        places = np.asarray(points, np.float64).reshape(-1, 2) - self.camera
        looks = np.stack([_log_odds(scores), _log_odds(chances), chances, alone], axis=1)
        predict(self.tracks, frames, self.settings.jerk, motion.error)
        free = self._continue(frame, places, scores, looks, frames)
        self._start(frame, places[free], scores[free], looks[free])
        self._judge(frame)
        self._hold(frame)
        return self._release(frame)

    def finish(self) -> NDArray[Any]:
        """The rows that are still held at the end of the sequence."""
        self._end(np.ones(len(self.tracks), bool))
        rows, self.held = self.held, self.held[:0]
        return self._shown(rows, int(rows["frame"].max(initial=0)))

    def _continue(
        self, frame: int, places: NDArray[Any], scores: NDArray[Any], looks: NDArray[Any], frames: int
    ) -> NDArray[np.bool_]:
        """Give detections to tracks, the confirmed ones first; returns which are left."""
        settings, tracks = self.settings, self.tracks
        free, explained = np.ones(len(places), bool), 0
        hit = np.zeros(len(tracks), bool)
        for group in (tracks["confirmed"], ~tracks["confirmed"]):
            rows, left = np.flatnonzero(group), np.flatnonzero(free)
            variances = tracks["cov"][rows, 0] + settings.blur**2
            match = associate(tracks["place"][rows], variances, places[left], settings.gate)
            found = match >= 0
            rows, taken, variances = rows[found], left[match[found]], variances[found]
            apart = np.hypot(*(places[taken] - tracks["place"][rows]).T)
            strong = scores[taken] > settings.start
            tracks["evidence"][rows] += settings.rule.hit(apart, variances, self.density, strong)
            tracks[rows] = update(tracks[rows], places[taken], settings.blur)
            tracks["score"][rows] = scores[taken]
            tracks["looks"][rows] += looks[taken]
            tracks["seen_at"][rows] = places[taken] + self.camera
            free[taken], hit[rows] = False, True
            explained += int(tracks["confirmed"][rows].sum())
        tracks["seen"] = (tracks["seen"] << np.uint64(min(frames, 63))) | hit
        tracks["hits"] += hit
        tracks["gap"] = np.where(hit, tracks["missed"], 0)
        tracks["missed"] = np.where(hit, 0, tracks["missed"] + frames)
        tracks["evidence"][~hit] += settings.rule.miss()
        tracks["last"] = frame
        now = (len(places) - explained) / (self.shape[0] * self.shape[1])
        self.density = max(_SLOWNESS * self.density + (1 - _SLOWNESS) * now, _LEAST_DENSITY)
        return free

    def _start(self, frame: int, places: NDArray[Any], scores: NDArray[Any], looks: NDArray[Any]) -> None:
        """Begin a track at each strong detection that is near no other track."""
        apart = np.full(len(places), np.inf)
        if len(self.tracks) and len(places):
            gaps = places[:, None] - self.tracks["place"][None]
            apart = np.hypot(gaps[..., 0], gaps[..., 1]).min(axis=1)
        chosen = (scores > self.settings.start) & (apart > _APART)
        new = np.zeros(int(chosen.sum()), TRACK)
        new["id"] = self.begun + 1 + np.arange(len(new))
        new["place"], new["score"], new["looks"] = places[chosen], scores[chosen], looks[chosen]
        new["cov"] = (self.settings.blur**2, 0.0, self.settings.fastest**2)
        new["hits"], new["seen"], new["born"], new["last"] = 1, 1, frame, frame
        new["seen_at"] = new["first_image"] = new["place"] + self.camera
        new["first_camera"] = self.camera
        self.begun += len(new)
        self.tracks = np.concatenate([self.tracks, new])

    def _judge(self, frame: int) -> None:
        """Confirm tracks, and end those that are lost."""
        tracks, settings = self.tracks, self.settings
        image = np.hypot(*(tracks["seen_at"] - tracks["first_image"]).T)
        tracks["image_way"] = np.maximum(tracks["image_way"], image)
        camera = np.hypot(*(self.camera - tracks["first_camera"]).T)
        tracks["camera_way"] = np.maximum(tracks["camera_way"], camera)
        fresh = ~tracks["confirmed"] & settings.rule.confirmed(tracks) & (tracks["missed"] == 0)
        fresh &= self._verdicts()[1]
        tracks["confirmed"] |= fresh
        for place in np.flatnonzero(fresh):
            self.confirmed += 1
            tracks["name"][place] = self.confirmed
        waiting = ~tracks["confirmed"]
        lost = waiting & (settings.rule.given_up(tracks) | (frame - tracks["born"] >= settings.delay))
        lost |= ~waiting & (tracks["missed"] > settings.coast)
        there = tracks["place"] + self.camera
        lost |= ((there < -1) | (there > self.shape)).any(axis=1)
        self._end(lost)

    def _end(self, lost: NDArray[np.bool_]) -> None:
        """Let tracks go: their held rows keep what is known of them, without those after the last hit."""
        if not lost.any() or not len(self.held):
            self.tracks = self.tracks[~lost]
            return
        self._stamp()
        at, mine = self._owners()
        last_hit = (self.tracks["last"] - self.tracks["missed"])[at]
        late = (self.held["id"] == 0) | (self.held["frame"] > last_hit)
        self.held = self.held[~(mine & lost[at] & late)]
        self.tracks = self.tracks[~lost]

    def _owners(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """For each held row, the place of its track among the living, and whether it is one of them."""
        at = np.minimum(np.searchsorted(self.tracks["id"], self.held["track"]), len(self.tracks) - 1)
        return at, self.tracks["id"][at] == self.held["track"]

    def _hold(self, frame: int) -> None:
        """Keep a row of every track in this frame, and put rows of missed frames between the hits."""
        tracks = self.tracks
        rows = np.zeros(len(tracks), ROW)
        rows["frame"], rows["track"], rows["known"] = frame, tracks["id"], frame
        rows["y"], rows["x"] = (tracks["place"] + self.camera).T
        rows["vy"], rows["vx"] = tracks["speed"].T
        hit = tracks["missed"] == 0
        rows["score"] = np.where(hit, tracks["score"], 0.0)
        rows["state"] = np.where(hit, np.where(tracks["confirmed"], _CONFIRMED, _TENTATIVE), _COASTING)
        rows["missed"], rows["camera"] = tracks["missed"], self.camera
        if self.settings.output == "retro":
            for row in rows[hit & (tracks["gap"] > 0)]:
                self._bridge(row)
        self.held = np.concatenate([self.held, rows])

    def _bridge(self, row: Any) -> None:
        """Move the coasting rows before a hit onto the line between it and the hit before."""
        mine = np.flatnonzero(self.held["track"] == row["track"])
        if not len(mine) or self.held["state"][mine[-1]] != _COASTING:
            return
        seen = mine[self.held["state"][mine] != _COASTING]
        if not len(seen):
            return
        first, gap = self.held[seen[-1]], mine[mine > seen[-1]]
        share = (self.held["frame"][gap] - first["frame"]) / (row["frame"] - first["frame"])
        for axis, name in enumerate(("y", "x")):
            begin = first[name] - first["camera"][axis]
            end = row[name] - row["camera"][axis]
            self.held[name][gap] = begin + share * (end - begin) + self.held["camera"][gap, axis]

    def _release(self, frame: int) -> NDArray[Any]:
        """The held rows that are final now."""
        causal = self.settings.output == "causal"
        self._stamp()
        final = self.held["frame"] <= frame - (0 if causal else self.settings.delay)
        rows, self.held = self.held[final], self.held[~final]
        return self._shown(rows, frame)

    def _stamp(self) -> None:
        """Write what is known of the living tracks into their held rows."""
        if not len(self.tracks) or not len(self.held):
            return
        at, mine = self._owners()
        at, (motions, believed) = at[mine], self._verdicts()
        self.held["id"][mine] = self.tracks["name"][at]
        self.held["motion"][mine], self.held["believed"][mine] = motions[at], believed[at]

    def _verdicts(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """How each living track moves against the background and the sensor, and whether it is believed."""
        tracks, settings = self.tracks, self.settings
        speed, unsure = np.hypot(*tracks["speed"].T), np.sqrt(tracks["cov"][:, 2])
        moving = (speed > settings.slow) & (speed > _SURE * unsure)
        judged = (tracks["hits"] >= _HITS_TO_JUDGE) & (unsure < settings.slow)
        fixed = (tracks["image_way"] < _FIXED_WITHIN) & (tracks["camera_way"] > _CAMERA_BEYOND) & judged
        motions = np.select([fixed, moving, judged], [_FIXED, _MOVING, _STILL], _UNKNOWN)
        faint, likely, chance, alone = (tracks["looks"] / np.maximum(tracks["hits"], 1)[:, None]).T
        sure = likely >= _log_odds(settings.sure)
        motions[np.isin(motions, (_STILL, _UNKNOWN)) & ~sure] = _DOUBTFUL
        believed = sure | (motions == _MOVING) & (faint >= _log_odds(settings.faint))
        if settings.still == "flag":  # where the doubtful ones can be marked
            believed |= chance >= settings.taken
        return motions.astype(np.uint8), believed & (alone <= 0.5)

    def _shown(self, rows: NDArray[Any], frame: int) -> NDArray[Any]:
        """Those of the final rows that are written."""
        kept = (rows["id"] > 0) & rows["believed"]
        if self.settings.output == "causal":
            kept &= rows["missed"] <= self.settings.shown
        if self.settings.still == "drop":
            kept &= ~np.isin(rows["motion"], (_STILL, _FIXED))
        rows = rows[kept]
        rows["known"] = frame
        if self.settings.still == "keep":
            rows["motion"] = _UNKNOWN
        return rows[np.lexsort((rows["id"], rows["frame"]))]

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that a later :meth:`restore` needs."""
        numbers = np.array([*self.camera, self.density, self.begun, self.confirmed], np.float64)
        return {"tracks": self.tracks, "held": self.held, "numbers": numbers}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        self.tracks, self.held = state["tracks"].astype(TRACK), state["held"].astype(ROW)
        numbers = state["numbers"]
        self.camera, self.density = numbers[:2].copy(), float(numbers[2])
        self.begun, self.confirmed = int(numbers[3]), int(numbers[4])


def _log_odds(share: Any) -> Any:
    """log(p / (1 - p)), bounded for scores of 0 and 1."""
    bounded = np.clip(np.asarray(share, np.float64), _LEAST_SCORE, 1 - _LEAST_SCORE)
    return np.log(bounded / (1 - bounded))
