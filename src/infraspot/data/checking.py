"""Is a data set sound? Every flaw by name, and what to do about it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infraspot.core.errors import InputError
from infraspot.data.entries import strangers
from infraspot.data.inspection import Flaw, Inspection
from infraspot.data.layouts import LAYOUTS
from infraspot.data.reader import Reader
from infraspot.data.splits import find_split_lists, read_split_list, split_role


@dataclass(frozen=True)
class Kind:
    """What a flaw means: a problem or only worth knowing, and what mends it."""

    problem: bool
    mend: str


KINDS: Mapping[str, Kind] = {
    "damaged": Kind(True, "restore the file from its source, or take the image out of every list"),
    "size mismatch": Kind(True, "find which file was resized and replace it; never resize a mask to fit"),
    "bad annotation": Kind(True, "correct the file that the message names"),
    "missing mask": Kind(True, "add the mask (an empty one if there is no target), or take the image out"),
    "without image": Kind(True, "add the image, or move the annotation away"),
    "outside": Kind(True, "check that the annotation was made for this size of image"),
    "listed without image": Kind(True, "add the image, or delete the line from the list"),
    "bad list": Kind(True, "correct the list that the message names"),
    "in two splits": Kind(
        True, "delete the line from one of the lists: a test on training images means nothing"
    ),
    "duplicate between splits": Kind(True, "keep one of the images, or put both into the same list"),
    "duplicate": Kind(True, "keep one of the images"),
    "non-binary mask": Kind(
        True,
        "write it anew with 0 and 255 ('infraspot data convert SRC --to nuaa' cuts at half of the range)",
    ),
    "in no split": Kind(False, "add the image to a list if it is to be used"),
    "no target": Kind(False, "nothing to do, if the frame is a true negative"),
}

# Which splits may not share an image; trainval holds train and val by its nature.
_APART = (("train", "val"), ("train", "test"), ("val", "test"), ("trainval", "test"))


def find_flaws(reader: Reader, inspections: Iterable[Inspection]) -> list[Flaw]:
    """Every flaw of a data set, the gravest kinds first, each kind in the order of its images.

    Parameters
    ----------
    reader
        The whole set, without a split.
    inspections
        Of each of its images (see :func:`infraspot.data.inspection.inspect_all`).
    """
    inspections = list(inspections)
    families, flaws = _families(reader)
    flaws += [flaw for inspection in inspections for flaw in inspection.flaws]
    flaws += _pairs(reader)
    flaws += _lists(reader, families)
    flaws += _duplicates(inspections, families)
    order = list(KINDS)
    return sorted(flaws, key=lambda flaw: order.index(flaw.kind))


Families = dict[str, dict[str, dict[str, None]]]


def _families(reader: Reader) -> tuple[Families, list[Flaw]]:
    """Image names by family of lists and role: the lists of one folder that end alike belong together."""
    families: Families = defaultdict(dict)
    flaws = []
    for name, path in find_split_lists(reader.root if reader.root.is_dir() else reader.root.parent).items():
        folder, _, stem = name.rpartition("/")
        if (role := split_role(stem)) is None:
            continue
        try:
            families[f"{folder}/*{stem[len(role) :]}"][role] = dict.fromkeys(
                reader.names_in(read_split_list(path))
            )
        except InputError as error:
            flaws.append(Flaw("bad list", name, str(error)))
    for name, section in zip(reader.ids, reader.sections, strict=True):
        role = next(filter(None, map(split_role, section.split("/"))), None)
        if role:
            families["folders"].setdefault(role, {})[name] = None
    return families, flaws


def _pairs(reader: Reader) -> Iterator[Flaw]:
    masks = [reader.has_mask(index) for index in range(len(reader))]
    if any(masks):
        for name, there in zip(reader.ids, masks, strict=True):
            if not there:
                yield Flaw("missing mask", name, "other images have one")
    for path in strangers(reader.root, LAYOUTS[reader.layout]):
        yield Flaw("without image", path.stem, _shown(path, reader.root))
    for name in reader.unused_points:
        yield Flaw("without image", name, "points.json")


def _lists(reader: Reader, families: Families) -> Iterator[Flaw]:
    known = set(reader.ids)
    for family, roles in families.items():
        for role, names in roles.items():
            for name in names:
                if name not in known:
                    yield Flaw("listed without image", name, family.replace("*", role, 1).lstrip("/"))
        for first, second in _APART:
            for name in sorted(set(roles.get(first, ())) & set(roles.get(second, ()))):
                yield Flaw("in two splits", name, f"{family.lstrip('/')}: {first} and {second}")
    listed = {name for roles in families.values() for names in roles.values() for name in names}
    if listed:
        for name in reader.ids:
            if name not in listed:
                yield Flaw("in no split", name, "no list names it")


def _duplicates(inspections: list[Inspection], families: Families) -> Iterator[Flaw]:
    alike: dict[str, list[str]] = defaultdict(list)
    for inspection in inspections:
        if inspection.digest:
            alike[inspection.digest].append(inspection.id)
    for names in alike.values():
        crossing = _crossing(names, families) if len(names) > 1 else {}
        for name in names[1:]:
            if name not in crossing:
                yield Flaw("duplicate", name, f"the same pixels as {names[0]}")
        for name, detail in crossing.items():
            yield Flaw("duplicate between splits", name, detail)


def _crossing(names: list[str], families: Families) -> dict[str, str]:
    """Which of these equal images lie in a split that another one of them must not share."""
    found = {}
    for roles in families.values():
        for first, second in _APART:
            ones = [name for name in names if name in roles.get(first, ())]
            others = [name for name in names if name in roles.get(second, ()) and name not in ones]
            if ones:
                for name in others:
                    found[name] = f"the same pixels as {ones[0]}; {first} and {second}"
    return found


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
