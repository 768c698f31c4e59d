"""``infraspot evaluate``: scores predictions, or a model, against truth."""

from typing import Any

import click

from infraspot.cli.console import hear, progress, say, table, warn
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError, counted
from infraspot.core.extras import require


@click.command()
@click.argument("pred")
@click.argument("truth", required=False)
@click.option(
    "--data",
    help="Data set to run a model on, instead of TRUTH: its folder, or its name within $INFRASPOT_DATA.",
)
@click.option("--split", help="Split of the data set: train, val, test or a list file.")
@click.option(
    "--protocol", default="infraspot", show_default=True, help="Definition of the metrics; see --list."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Replaces the threshold of the model's card, or where there is none the protocol's.",
)
@click.option("--json", "json_file", help="File for every number, with the curves and each image.")
@click.option("--csv", "csv_file", help="File for one line an image.")
@click.option(
    "--plots",
    help="Folder for pictures (Pd-Fa curve, IoU by size, worst frames) and the page of --report.",
)
@click.option("--report", help="HTML file with operating points and every target and alarm.")
@click.option("--against", help="A second folder of predictions, or with --data a model, to compare with.")
@click.option(
    "--against-threshold",
    type=click.FloatRange(0, 1),
    help="Threshold of --against; default: --threshold, or its own.",
)
@click.option(
    "--bootstrap",
    default=1000,
    show_default=True,
    type=click.IntRange(0),
    help="Resamplings for the intervals; 0: no intervals.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the resampling.")
@click.option(
    "--missing",
    type=click.Choice(["leave-out", "empty"]),
    default="leave-out",
    show_default=True,
    help="Images without prediction: leave out, or score as empty.",
)
@click.option(
    "--max-value",
    type=click.FloatRange(0, min_open=True),
    help="Stored value that means a score of 1; default: the largest of the bit depth.",
)
@click.option(
    "--boxes",
    is_flag=True,
    help="Show average precision and recall of boxes; by itself where the predictions are boxes.",
)
@click.option("--no-curves", is_flag=True, help="Score at one threshold only, without curves.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of PRED and TRUTH as well.")
@click.option("--threads", default=0, type=click.IntRange(0), help="Frames read at once; 0 takes every core.")
@click.option(
    "--tracks",
    is_flag=True,
    help="PRED is a folder of `infraspot track`, TRUTH generated sequences or MOT text: score tracks.",
)
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    default=25.0,
    show_default=True,
    help="Frames a second, for false alarms an hour (--report) and false tracks an hour (--tracks).",
)
@trust_option
@click.option(
    "--list",
    "list_protocols",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda *given: _list_protocols(*given),
    help="Show the protocols and stop.",
)
def command(
    pred: str,
    truth: str | None,
    json_file: str | None,
    csv_file: str | None,
    plots: str | None,
    report: str | None,
    no_curves: bool,
    tracks: bool,
    fps: float,
    **options: Any,
) -> int:
    """Score the folder PRED against TRUTH, a folder of masks or a data set; or a model PRED on --data.

    PRED holds masks or score maps (PNG, BMP, TIFF, .npy) with the names of the truth, also with the endings
    .mask, _mask, .prob or _pixels0. Page 3 of a stack film.tif is the frame film-0003, on both sides.
    PRED may be a COCO file of scored boxes too, as `infraspot detect --format coco` writes it.
    Exit status: 0 all done, 1 some images could not be scored and the others are, 2 wrong usage.
    """
    if tracks:
        given = {
            "--csv": csv_file,
            "--plots": plots,
            **{f"--{name}": options[name] for name in ("data", "split", "against")},
        }
        return _score_tracks(pred, truth, given, json_file, report, fps, options["threshold"])
    if plots:
        require("report", "--plots")
    from infraspot.jobs.evaluate import evaluate, write_evaluation

    run = evaluate(
        pred,
        truth,
        curves=not no_curves,
        keep_cases=report is not None or plots is not None,
        progress=progress,
        tell=hear,
        **options,
    )
    # The files come before the tables, so that a closed pipe does not lose them.
    written = write_evaluation(
        run, json_file=json_file, csv_file=csv_file, plots=plots, report=report, fps=fps
    )
    say(f"taken: {run.pairs.taken}")
    _show(run.result)
    for path in written:
        say(f"-> {path}")
    if failed := len(run.result["left_out"]):
        left_out = counted(failed, "image is", "images are")
        warn(f"{left_out} left out; the numbers are those of the other {run.result['n_images']}")
        return 1
    return 0


def _score_tracks(
    pred: str,
    truth: str | None,
    given: dict[str, str | None],
    json_file: str | None,
    report: str | None,
    fps: float,
    threshold: float | None,
) -> int:
    wrong = [name for name, value in given.items() if value is not None]
    if wrong or truth is None:
        reason = f"{' and '.join(wrong)} cannot be used" if wrong else "TRUTH is missing"
        raise UsageError(f"--tracks scores a folder of `infraspot track` against TRUTH, and {reason}")
    from infraspot.core.files import write_json
    from infraspot.jobs.evaluate_tracks import evaluate_tracks
    from infraspot.report.track_report import TrackBook, write_track_report
    from infraspot.report.track_scores import point_rows, track_rows

    book = None if report is None else TrackBook()
    scores = evaluate_tracks(pred, truth, threshold=threshold, fps=fps, book=book, tell=hear)
    if json_file is not None:
        write_json(json_file, scores)
    if report is not None and book is not None:
        write_track_report(report, scores, book, pred=pred, truth=truth)
    say(f"{scores['sequences']} sequences, {scores['after']['true_tracks']} true tracks, {scores['output']}")
    table(["points", "Pd", "false a Mpx"], point_rows(scores))
    say()
    table(["tracks", "all", "without doubtful", "without still"], track_rows(scores))
    for path in filter(None, (json_file, report)):
        say(f"-> {path}")
    return 1 if scores["left_out"] else 0


def _list_protocols(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from infraspot.metrics import PROTOCOLS

    for protocol in PROTOCOLS.values():
        say(f"{protocol.name:12} {protocol.definition.strip()}")
    context.exit()


def _show(result: dict[str, Any]) -> None:
    """The tables on the screen."""
    from infraspot.report.scores import (
        box_rows,
        comparison_rows,
        error_line,
        folder_rows,
        point_rows,
        score_rows,
        strata_rows,
        target_line,
    )

    say(f"protocol {result['protocol']}: {result['definition']}")
    own = " (the model's own, as in detect)" if result["source"].get("threshold") == "model" else ""
    images, targets = counted(result["n_images"], "image"), counted(result["n_targets"], "target")
    say(f"{images}, {targets}, threshold {result['threshold']:g}{own}")
    say()
    table(["", "value", "95 % interval" if "intervals" in result else ""], score_rows(result))
    if "sets" in result:
        say()
        table(["folder", "images", "IoU", "nIoU", "Pd", "Fa (10^-6)"], folder_rows(result))
    if result["boxes"]:
        say()
        table(["boxes", "AP", "95 % interval", "recall"], box_rows(result))
    if rows := point_rows(result):
        say()
        table(["best Pd", "Pd", "threshold"], rows)
    if rows := strata_rows(result):
        say()
        table(["targets by", "targets", "Pd", "IoU", "pixel recall"], rows)
    say()
    say(f"errors: {error_line(result)}")
    if "comparison" in result:
        say()
        against = result["against"]["source"]["prediction"]
        table(
            ["", "this", against, "difference", "95 % interval", "p"], comparison_rows(result["comparison"])
        )
        say(target_line(result["comparison"]))
