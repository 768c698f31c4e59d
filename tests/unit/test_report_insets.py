"""Overlays of clusters: who belongs together, and that the enlarged targets can be seen."""

import numpy as np

from infraspot.core.prediction import Target
from infraspot.report.insets import find_clusters
from infraspot.report.overlay import INK, draw_targets


def target(x: float, y: float, side: float = 3, score: float = 0.9) -> Target:
    return Target(x + 1, y + 1, 9, score, (x, y, x + side, y + side))


def test_targets_up_to_six_pixels_apart_are_a_cluster_and_others_stand_alone() -> None:
    targets = [target(0, 0), target(9, 0), target(18, 9), target(40, 40), target(40, 50), target(0, 10)]
    clusters, alone = find_clusters(targets)
    assert [len(one.targets) for one in clusters] == [3]
    assert clusters[0].box == (0, 0, 21, 12)
    assert {one.box[:2] for one in alone} == {(40, 40), (40, 50), (0, 10)}


def test_no_targets_make_no_clusters() -> None:
    assert find_clusters([]) == ([], [])


def test_a_cluster_is_shown_enlarged_below_with_a_frame_just_outside_each_box() -> None:
    image = np.zeros((480, 640), np.float32)
    image[100:103, 200:203] = image[100:103, 204:207] = 0.1
    plain = np.asarray(draw_targets(image, [target(200, 100)]))
    assert plain.shape == (480, 640)
    shown = np.asarray(draw_targets(image, [target(200, 100), target(204, 100)]))
    assert shown.shape[1] == 640
    inset = shown[486:, :]
    zoom = 16
    # The window begins three pixels before the first target; its faint pixels are stretched to full white.
    first = inset[3 * zoom : 6 * zoom, 3 * zoom : 6 * zoom]
    assert (first == INK - 1).mean() > 0.9
    assert (inset[3 * zoom - 1, 3 * zoom : 6 * zoom] == INK).all()
    assert (inset[3 * zoom : 6 * zoom, 3 * zoom - 1] == INK).all()


def test_clusters_at_the_border_and_boxes_that_leave_the_frame_are_drawn() -> None:
    image = np.full((20, 20), 0.5, np.float32)
    for targets in (
        [target(0, 0), target(4, 0)],
        [target(17, 17), target(13, 17)],
        [target(-2.5, -2), target(-1, 2)],
        [target(30, 30), target(34, 30)],
    ):
        assert np.asarray(draw_targets(image, targets)).shape[0] > 640


def test_a_frame_full_of_targets_is_drawn_without_insets_and_many_clusters_show_the_first_24() -> None:
    image = np.zeros((1000, 1000), np.float32)
    crowd = [target(x, y) for x in range(0, 1000, 5) for y in range(0, 1000, 5)]
    assert np.asarray(draw_targets(image, crowd)).shape == (1000, 1000)
    pairs = [target(x + shift, y) for x in range(0, 900, 40) for y in range(0, 900, 40) for shift in (0, 5)]
    assert np.asarray(draw_targets(image, pairs)).shape[0] < 1000 + 24 * 250


def test_many_clusters_wrap_into_rows_no_wider_than_the_picture() -> None:
    image = np.zeros((640, 640), np.float32)
    targets = [target(x + shift, y) for x in range(0, 640, 120) for y in (0, 300) for shift in (0, 5)]
    assert np.asarray(draw_targets(image, targets)).shape[1] == 640
