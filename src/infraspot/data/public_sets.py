"""The public data sets of the field: where each one is had, on what terms, and what a copy looks like.

Addresses, licences and numbers are those of the authors' pages; what a page does not say is left out.
infraspot downloads nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infraspot.core.errors import InfraspotError, counted, named
from infraspot.data.layouts import LAYOUTS
from infraspot.data.reader import Reader, open_dataset

NONE_STATED = "none stated"
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class PublicSet:
    """One row of the table.

    Attributes
    ----------
    title
        What it is, for people.
    address
        The authors' page, which leads to the files; None where no such page is known to us.
    counts
        Numbers of images that a whole copy, or a part that is handed out alone, may have; the first is that
        of the whole set. Empty where the page does not say.
    layouts
        Keys of :data:`infraspot.data.LAYOUTS` in which it is released; empty where none can be read.
    annotation
        What its files say about each image.
    licence
        As the page states it.
    note
        What to know before or after the download.
    """

    title: str
    address: str | None
    counts: tuple[int, ...]
    layouts: tuple[str, ...]
    annotation: str = "masks"
    licence: str = NONE_STATED
    note: str = ""

    @property
    def shape(self) -> str:
        """What the folder must look like."""
        if not self.layouts:
            return "not read as it is released; bring it to images/ and masks/ with equal names"
        return "; or ".join(LAYOUTS[layout].title for layout in self.layouts)


PUBLIC_SETS: Mapping[str, PublicSet] = {
    "sirst-v1": PublicSet(
        "SIRST-v1, the same as NUAA-SIRST: real frames from hundreds of sequences",
        "https://github.com/YimianDai/sirst",
        (427,),
        ("nuaa-sirst", "images-masks"),
        "masks and boxes",
        note="Misc_111's mask has another size than its image; `infraspot data check` names it",
    ),
    "sirst-v2": PublicSet(
        "SIRST-V2: SIRST-v1 and larger frames, of streets and buildings too, most without a target",
        "https://github.com/YimianDai/open-sirst-v2",
        (1024,),
        ("sirst-v2", "sirst-devkit", "images-masks"),
        "masks and boxes",
        note="it holds every frame of SIRST-v1: never train on one and test on the other",
    ),
    "sirst-5k": PublicSet(
        "SIRST-5K: frames of NUDT-SIRST multiplied by displaced noise and turned patches",
        "https://github.com/luy0222/SIRST-5K",
        (),
        ("nudt-sirst", "images-masks"),
        note="the page holds the programs that make it",
    ),
    "nudt-sirst": PublicSet(
        "NUDT-SIRST: synthetic targets in real backgrounds, 256x256",
        "https://github.com/YeRen123455/Infrared-Small-Target-Detection",
        (1327, 1326),
        ("nudt-sirst", "images-masks"),
        note="its own link was reported broken in 2024; the archive on sirst3's page holds it too",
    ),
    "irstd-1k": PublicSet(
        "IRSTD-1k: real frames of sea, mountains, fields and towns, 512x512",
        "https://github.com/RuiZhang97/ISNet",
        (1001,),
        ("irstd-1k-release", "irstd-1k", "images-masks"),
        licence="MIT",
        note="some masks hold values between 0 and 255; they are cut at half",
    ),
    "sirst3": PublicSet(
        "SIRST3: NUAA-SIRST, NUDT-SIRST and IRSTD-1k together, with split lists",
        "https://github.com/XinyiYing/BasicIRSTD",
        (2755,),
        ("sirst3", "images-masks"),
        note="`infraspot data merge NUAA-SIRST NUDT-SIRST IRSTD-1K --out SIRST3` makes it from its parts",
    ),
    "nudt-sirst-sea": PublicSet(
        "NUDT-SIRST-Sea: ships seen from orbit, 100 million pixels a frame",
        "https://github.com/TianhaoWu16/Multi-level-TransUNet-for-Space-based-Infrared-Tiny-ship-Detection",
        (48,),
        ("nudt-sirst-sea", "images-masks"),
    ),
    "densesirst": PublicSet(
        "DenseSIRST: SIRST-V2 with clusters of pasted targets, and masks of the sky",
        "https://github.com/GrokCV/DenseSIRST",
        (1024,),
        ("densesirst",),
        "masks, boxes, points and sky",
        note="unpack SIRSTdevkit/; its backgrounds are those of SIRST-V2",
    ),
    "mdvsfa": PublicSet(
        "MDvsFA, also called NUST-SIRST: 10,000 synthetic frames and 100 real ones to test on",
        "https://github.com/wanghuanphd/MDvsFA_cGAN",
        (10_100,),
        ("mdvsfa",),
    ),
    "sirst-aug": PublicSet(
        "SIRST-Aug: SIRST-v1, augmented",
        "https://github.com/Tianfang-Zhang/AGPCNet",
        (),
        ("sirst-aug",),
        note="made from SIRST-v1: never train on one and test on the other",
    ),
    "nchu-sirst": PublicSet(
        "NCHU-SIRST: real frames with boxes",
        None,
        (),
        ("nchu-sirst", "voc", "images-voc"),
        "boxes",
        licence=NOT_KNOWN,
        note="a survey counts 500 frames in all, but 273 to train and 317 to test",
    ),
    "irdst": PublicSet(
        "IRDST: frames of 85 real and 316 simulated sequences",
        "https://github.com/sun11999/RDIAN",
        (142_727, 40_650, 40_656, 102_077, 106_254),
        ("irdst", "images-masks"),
        "masks and boxes",
        note="http://xzbai.buaa.edu.cn/datasets.html has the files too; single frames and sequences are two"
        " downloads; frames of one sequence look alike: split by sequence",
    ),
    "nudt-mirsdt": PublicSet(
        "NUDT-MIRSDT: 120 sequences with synthetic targets, a hundred frames each",
        "https://github.com/TinaLRJ/Multi-frame-infrared-small-target-detection-DTUM",
        (12_000,),
        (),
        note="its .mat files hold five frames each",
    ),
    "anti-uav": PublicSet(
        "Anti-UAV: videos of drones, infrared and visible",
        "https://github.com/ZhaoJ9014/Anti-UAV",
        (),
        ("anti-uav",),
        "one box a frame",
        licence="MIT",
        note="extract the infrared videos into frames first",
    ),
    "ist-a": PublicSet(
        "IST-A: 158 sequences with boxes",
        None,
        (),
        ("ist-a",),
        "boxes",
        licence=NOT_KNOWN,
        note="the number of sequences is a survey's",
    ),
}


def find_lacks(known: PublicSet, folder: Path) -> tuple[Reader | None, list[str]]:
    """Open a copy of a set, and say in a sentence each what is not as it was released.

    Returns
    -------
    The reader, or None where nothing can be read; and the sentences, none for a whole copy.
    """
    try:
        reader = open_dataset(folder)
    except InfraspotError as error:
        return None, [f"{error}. Expected: {known.shape}"]
    lacks = []
    if known.layouts and reader.layout not in known.layouts:
        lacks.append(
            f"the layout is {reader.layout} ({LAYOUTS[reader.layout].title}); expected: {known.shape}"
        )
    if known.counts and len(reader) not in known.counts:
        lacks.append(_wrong_count(len(reader), known.counts[0]))
    if known.annotation.startswith("masks"):
        bare = [reader.ids[index] for index in range(len(reader)) if not reader.has_mask(index)]
        if bare:
            lacks.append(f"{counted(len(bare), 'image has', 'images have')} no mask: {named(bare)}")
    return reader, lacks


def _wrong_count(found: int, whole: int) -> str:
    if found < whole:
        return f"{found} of {whole} images are here; {whole - found} are missing"
    return f"{found} images are here, and the set has {whole}; {found - whole} are too many"
