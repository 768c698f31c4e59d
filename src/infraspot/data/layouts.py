"""How published data sets lie on disk: one table, from which every folder is recognised and read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infraspot.data.boxes import VOC, YOLO, BoxFormat


@dataclass(frozen=True)
class Part:
    """Folders that belong together, relative to the data set; those of the images have to exist.

    ``image_ending`` and ``mask_ending`` follow the common name where images and masks share a folder.
    """

    images: str
    masks: str | None = None
    boxes: str | None = None
    points: str | None = None
    sky: str | None = None
    image_ending: str = ""
    mask_ending: str = ""


@dataclass(frozen=True)
class Layout:
    """One row of the table.

    Attributes
    ----------
    title
        What it is, for people.
    parts
        Folders by the split or section that they hold, ``""`` for the whole set. Subfolders of ``images``,
        such as ``images/train``, are found by themselves.
    needs
        Files or folders that must exist, as patterns relative to the set; ``|`` stands between alternatives.
    names
        What every image must be called.
    folder
        What the name of the set's own folder must contain.
    box_format
        How its box files count.
    boxes_from_masks
        Its box files are not to be trusted: boxes are those of the mask's components.
    """

    title: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    names: str | None = None
    folder: str | None = None
    box_format: BoxFormat = VOC
    boxes_from_masks: bool = False

    def fits(self, root: Path) -> bool:
        """Whether the folder looks like this layout."""
        if self.folder and not re.search(self.folder, root.name, re.IGNORECASE):
            return False
        return all(any(_exists(root, pattern) for pattern in need.split("|")) for need in self.needs)


def _exists(root: Path, pattern: str) -> bool:
    return next(root.glob(pattern), None) is not None


SEQUENCE_LABELS = ("IR_label.json", "infrared.json")

_PLAIN = Part("images", "masks", boxes="bboxes", sky="sky")
_ROLES = ("train", "trainval", "val", "valid", "test", "detect")
_IMAGES_AND_MASKS = ("images/*", "masks/*")
_XYWH = BoxFormat("xywh")
_YOLO_ON_PIXELS = BoxFormat("yolo", 0.5)

# The first row that fits is taken, so special rows stand before general ones. Sources: the sets as published
# and the loaders of ACM, DNANet, AGPCNet, BasicIRSTD and IST-A.
LAYOUTS: Mapping[str, Layout] = {
    "densesirst": Layout(
        "DenseSIRST: masks, sky, points; boxes are taken from the masks",
        {"": Part("PNGImages", "SIRST/BinaryMask", points="SIRST/Point_label", sky="SkySeg/BinaryMask")},
        needs=("PNGImages/*", "SIRST/BinaryMask/*", "SkySeg/BinaryMask"),
        boxes_from_masks=True,
    ),
    "sirst-devkit": Layout(
        "SIRST-V2 as a development kit",
        {"": Part("PNGImages", "SIRST/BinaryMask", boxes="SIRST/BBox")},
        needs=("PNGImages/*", "SIRST/BinaryMask/*"),
    ),
    "sirst-v2": Layout(
        "SIRST-V2 as published: mixed/, annotations/",
        {"": Part("mixed", "annotations/masks", boxes="annotations/bboxes")},
        needs=("mixed/*", "annotations/masks/*"),
    ),
    "irstd-1k-release": Layout(
        "IRSTD-1K as published: IRSTD1k_Img/, IRSTD1k_Label/",
        {"": Part("IRSTD1k_Img", "IRSTD1k_Label")},
        needs=("IRSTD1k_Img/*", "IRSTD1k_Label/*"),
    ),
    "mdvsfa": Layout(
        "MDvsFA (NUST-SIRST): training/N_1.png with N_2.png, test_org/, test_gt/",
        {
            "train": Part("training", "training", image_ending="_1", mask_ending="_2"),
            "test": Part("test_org", "test_gt"),
        },
        needs=("test_org/*", "test_gt/*"),
    ),
    "irdst": Layout(
        "IRDST: real and simulated sequences with masks and boxes (x, y, w, h)",
        {
            "": Part("images", "masks", boxes="boxes"),
            **{
                name: Part(f"{name}/images", f"{name}/masks", boxes=f"{name}/boxes")
                for name in ("real", "simulation")
            },
        },
        needs=("boxes/*.txt|boxes/*/*.txt|real/boxes/*.txt|real/boxes/*/*.txt",),
        box_format=_XYWH,
    ),
    "ist-a": Layout(
        "IST-A: train/ and test/ with a text file of boxes beside each image",
        {"train": Part("train", boxes="train"), "test": Part("test", boxes="test")},
        needs=("test/*.txt", "test/*.png"),
        box_format=_YOLO_ON_PIXELS,
    ),
    "anti-uav": Layout(
        "Anti-UAV: sequences of frames with IR_label.json or infrared.json",
        needs=("|".join(f"{folder}{name}" for folder in ("", "*/", "*/*/") for name in SEQUENCE_LABELS),),
    ),
    "nudt-mirsdt": Layout(
        "NUDT-MIRSDT: SequenceN/Mix/*.mat, SequenceN/masks/",
        needs=("*/Mix/*.mat|*/*/Mix/*.mat",),
    ),
    "sirst-aug": Layout(
        "SIRST-Aug: trainval/ and test/, each with images/ and masks/",
        {role: Part(f"{role}/images", f"{role}/masks") for role in ("trainval", "test")},
        needs=("trainval/images/*", "trainval/masks/*"),
    ),
    "nuaa-sirst": Layout(
        "NUAA-SIRST, SIRST-v1: Misc_N.png",
        {"": _PLAIN},
        needs=_IMAGES_AND_MASKS,
        names=r"Misc_\d+",
    ),
    "irstd-1k": Layout(
        "IRSTD-1K in the layout of BasicIRSTD: XDUN.png",
        {"": _PLAIN},
        needs=_IMAGES_AND_MASKS,
        names=r"XDU\d+",
    ),
    "nudt-sirst-sea": Layout("NUDT-SIRST-Sea", {"": _PLAIN}, needs=_IMAGES_AND_MASKS, folder=r"sea"),
    "nudt-sirst": Layout("NUDT-SIRST: six digits", {"": _PLAIN}, needs=_IMAGES_AND_MASKS, names=r"\d{6}"),
    "sirst3": Layout(
        "SIRST3: NUAA-SIRST, NUDT-SIRST and IRSTD-1K in one folder",
        {"": _PLAIN},
        needs=("images/*", "masks/*", "images/Misc_*", "images/XDU*"),
        names=r"Misc_\d+|XDU\d+|\d{6}",
    ),
    "images-masks": Layout(
        "images/ and masks/, and where present bboxes/, sky/, points.json",
        {"": _PLAIN},
        needs=_IMAGES_AND_MASKS,
    ),
    "split-folders": Layout(
        "train/, val/, test/, each with images/ and masks/",
        {role: Part(f"{role}/images", f"{role}/masks") for role in _ROLES},
        needs=("*/images/*", "*/masks/*"),
    ),
    "mot": Layout(
        "MOT: sequences of frames in img1/ with gt/gt.txt",
        needs=("gt.txt|*/gt.txt|gt/gt.txt|*/gt/gt.txt|*/*/gt/gt.txt",),
    ),
    "rgbt-tiny": Layout(
        "RGBT-Tiny: the thermal frames SEQ/01/ with VOC boxes and ids beside them",
        needs=("*/01/*.xml",),
    ),
    "coco": Layout("COCO: a JSON file with images and annotations", needs=("*.json|annotations/*.json",)),
    "box-lists": Layout(
        "DAUB, ITSDT-15K: lists of lines 'PATH x0,y0,x1,y1,class ...', one a split", needs=("*.txt",)
    ),
    "nchu-sirst": Layout(
        "NCHU-SIRST: VOC boxes",
        {"": Part("JPEGImages", boxes="Annotations")},
        needs=("JPEGImages/*", "Annotations/*.xml"),
        folder=r"nchu",
    ),
    "voc": Layout(
        "VOC: JPEGImages/, Annotations/, ImageSets/",
        {"": Part("JPEGImages", boxes="Annotations")},
        needs=("JPEGImages/*", "Annotations/*.xml"),
    ),
    "images-voc": Layout(
        "images/ with VOC boxes in annotations/ or bboxes/",
        {"": Part("images", boxes="bboxes", sky="sky")},
        needs=("images/*", "bboxes/*.xml"),
    ),
    "yolo": Layout(
        "YOLO: images/ and labels/, or train/images/ and train/labels/",
        {
            "": Part("images", boxes="labels"),
            **{role: Part(f"{role}/images", boxes=f"{role}/labels") for role in _ROLES},
        },
        needs=("labels/*.txt|labels/*/*.txt|*/labels/*.txt",),
        box_format=YOLO,
    ),
    "images": Layout("images/ without annotation", {"": Part("images", sky="sky")}, needs=("images/*",)),
    "folder": Layout(
        "a folder of images, with or without masks named ID.mask.png or ID_mask.png beside them",
        {"": Part(".", ".")},
    ),
}
