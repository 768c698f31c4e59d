"""``infraspot data where``: how to obtain the public sets, and whether a copy is whole."""

import json
from pathlib import Path
from typing import Any

import click

from infraspot.cli.console import say, table
from infraspot.core.errors import UsageError, counted, unknown_name


@click.command()
@click.argument("name", required=False, metavar="[SET]")
@click.option(
    "--check",
    "folder",
    type=click.Path(path_type=Path),
    help="A copy of SET: say what it lacks, if anything.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as a JSON list.")
def where(name: str | None, folder: Path | None, as_json: bool) -> int:
    """Say where each public data set, or SET, is had, and check a copy of it.

    infraspot downloads nothing. Put a set into a folder of its key, such as sirst-v1, and name the folder
    above in the environment variable INFRASPOT_DATA: recipes and commands then find it by its key.

    Exit status with --check: 0 whole, 1 something is missing.
    """
    from infraspot.data.public_sets import PUBLIC_SETS

    if name is not None and name not in PUBLIC_SETS:
        raise unknown_name("data set", name, PUBLIC_SETS)
    if folder is not None:
        if name is None:
            raise UsageError("--check needs the set: `infraspot data where SET --check DIR`")
        return _check(name, folder)
    rows = [_record(key) for key in ([name] if name else PUBLIC_SETS)]
    if as_json:
        say(json.dumps(rows, indent=2))
    elif name:
        _describe(rows[0])
    else:
        table(
            ("set", "images", "here", "licence", "page"),
            [
                (
                    row["set"],
                    row["images"],
                    "yes" if row["here"] else "",
                    row["licence"],
                    row["page"] or "not known",
                )
                for row in rows
            ],
            text=("licence", "page"),
        )
        say("\n`infraspot data where SET` says more; --check DIR checks a copy")
    return 0


def _record(key: str) -> dict[str, Any]:
    from infraspot.data.places import place_of
    from infraspot.data.public_sets import PUBLIC_SETS

    known, place = PUBLIC_SETS[key], place_of(key)
    return {
        "set": key,
        "title": known.title,
        "page": known.address,
        "licence": known.licence,
        "images": known.counts[0] if known.counts else None,
        "annotation": known.annotation,
        "layout": known.shape,
        "note": known.note,
        "place": None if place is None else str(place),
        "here": place is not None and place.is_dir(),
    }


def _describe(row: dict[str, Any]) -> None:
    say(row["title"])
    say(f"page        {row['page'] or 'no page of its authors is known to us'}")
    say(f"licence     {row['licence']}")
    say(f"images      {row['images'] or 'not stated'}, with {row['annotation']}")
    say(f"layout      {row['layout']}")
    if row["place"] is None:
        say(f"looked for  nowhere, as INFRASPOT_DATA is not set; it would be $INFRASPOT_DATA/{row['set']}")
    else:
        say(f"looked for  {row['place']}: {'here' if row['here'] else 'not there'}")
    if row["note"]:
        say(f"note        {row['note']}")


def _check(name: str, folder: Path) -> int:
    from infraspot.data.public_sets import PUBLIC_SETS, find_lacks

    reader, lacks = find_lacks(PUBLIC_SETS[name], folder)
    if reader is not None:
        say(f"{folder}: {counted(len(reader), 'image')}, layout {reader.layout}")
    for lack in lacks:
        say(f"  {lack}")
    if lacks:
        say(f"not a whole copy of {name}; `infraspot data where {name}` says where it is had")
        return 1
    say(f"a whole copy of {name}; `infraspot data check` looks into the files themselves")
    return 0
