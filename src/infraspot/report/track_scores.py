"""Scores of tracks as the rows of tables."""

from typing import Any

_NAMES = {
    "track_pd": "track Pd",
    "time_to_confirm": "frames to confirm (median)",
    "false_tracks": "false tracks",
    "false_tracks_per_hour": "false tracks an hour",
    "fragments": "tracks a found target",
    "position_error": "position error (px)",
    "mota": "MOTA",
    "idf1": "IDF1",
    "hota": "HOTA",
}


def point_rows(scores: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Pd and false alarms: of single frames, all tracks, those not doubtful, and those not standing still."""
    rows = {
        f"single frames above {scores['threshold']:g}": scores["before"],
        "tracks": scores["after"],
        "tracks without doubtful ones": scores["sure"],
        "tracks without still ones": scores["moving"],
    }
    return [(name, _shown(one["pd"]), _shown(one["false_per_mpx"], 1)) for name, one in rows.items()]


def track_rows(scores: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The other scores: of all tracks, of those not doubtful, and of those that do not stand still."""
    a, b, c = scores["after"], scores["sure"], scores["moving"]
    return [(label, _shown(a[name]), _shown(b[name]), _shown(c[name])) for name, label in _NAMES.items()]


def _shown(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{digits}f}"
