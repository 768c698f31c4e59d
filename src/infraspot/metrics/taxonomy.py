"""What kind of error: every target gets one word, and so does every false detection."""

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.frame import FrameRecord
from infraspot.metrics.pairing import PairTable, match_regions
from infraspot.metrics.protocols import PROTOCOLS, Protocol

KINDS = ("good", "too_small", "too_large", "merged_cluster", "split", "displaced", "miss")
"""The words for targets; ``clutter`` is the word for a false detection that touches no target."""

CAUSES = ("at_target", "border", "speck", "clutter")
"""The words for false detections, by where they lie and how large they are."""

SIZE_RATIO = 2.0
BORDER, SPECK = 3, 2  # pixels


def classify_targets(record: FrameRecord, protocol: Protocol, pairs: PairTable) -> NDArray[np.str_]:
    """(T,) words out of ``KINDS``, the first that fits; ``pairs`` reach twice the protocol's radius.

    merged_cluster
        a detection that touches the target touches another target too;
    split
        several detections touch the target;
    displaced
        unmatched, though a detection touches it or lies within twice the radius;
    miss
        unmatched otherwise;
    too_small, too_large
        matched, by a detection of less than half or more than twice the area;
    good
        matched otherwise.
    """
    targets, found = record.targets, record.detections
    words = np.full(len(targets), "miss", dtype="<U14")
    if not len(targets) or not len(found):
        return words
    match = record.match
    if protocol.rule == "shooting":
        match = match_regions(targets, found, record.shared, PROTOCOLS["infraspot"])
    matched = match >= 0
    touching = np.bincount(record.shared[:, 0], minlength=len(targets))
    widespread = np.bincount(record.shared[:, 1], minlength=len(found)) > 1
    merged = np.zeros(len(targets), np.bool_)
    merged[record.shared[widespread[record.shared[:, 1]], 0]] = True
    near = np.zeros(len(targets), np.bool_)
    near[pairs.rows[pairs.distances < 2 * protocol.radius]] = True
    ratio = found.areas[match] / targets.areas
    words[~matched & ((touching > 0) | near)] = "displaced"
    words[matched] = "good"
    words[matched & (ratio < 1 / SIZE_RATIO)] = "too_small"
    words[matched & (ratio > SIZE_RATIO)] = "too_large"
    words[touching > 1] = "split"
    words[merged] = "merged_cluster"
    return words


def count_clutter(record: FrameRecord) -> int:
    """False detections that touch no target."""
    touching = np.bincount(record.shared[:, 1], minlength=len(record.detections)) > 0
    return int(np.count_nonzero(record.false & ~touching))


def alarm_causes(
    record: FrameRecord, protocol: Protocol, pairs: PairTable, shape: tuple[int, int]
) -> NDArray[np.str_]:
    """(P,) words out of ``CAUSES``, the first that fits; they mean something for false detections.

    at_target
        touches a target, or lies within twice the protocol's radius of one: a second or displaced piece;
    border
        its box lies within 3 pixels of the frame's edge;
    speck
        of one or two pixels, as defective pixels and noise are;
    clutter
        anything else.

    ``pairs`` reach twice the protocol's radius, and ``shape`` is the frame's, or the protocol's grid.
    """
    found, (height, width) = record.detections, shape
    words = np.full(len(found), "clutter", dtype="<U9")
    if not len(found):
        return words
    x0, y0, x1, y1 = found.boxes.T
    words[found.areas <= SPECK] = "speck"
    words[np.minimum.reduce([x0, y0, width - x1, height - y1]) < BORDER] = "border"
    words[pairs.columns[pairs.distances < 2 * protocol.radius]] = "at_target"
    words[record.shared[:, 1]] = "at_target"
    return words
