"""Schemes: what full, point-supervised and other training adds to one loop; :data:`SCHEMES` lists them."""

from collections.abc import Callable

from infraspot.losses import Batch
from infraspot.schemes.base import Scheme, Trainee
from infraspot.schemes.boxes import Boxes
from infraspot.schemes.d2d import D2D
from infraspot.schemes.displace import Displace
from infraspot.schemes.distilled import Distilled
from infraspot.schemes.full import Full
from infraspot.schemes.inpaint import Inpaint
from infraspot.schemes.labels import LabelStore
from infraspot.schemes.lesps import Lesps
from infraspot.schemes.offline import Offline
from infraspot.schemes.pal import Pal
from infraspot.schemes.paste import Paste
from infraspot.schemes.taught import Taught

__all__ = [
    "D2D",
    "SCHEMES",
    "Batch",
    "Boxes",
    "Displace",
    "Distilled",
    "Full",
    "Inpaint",
    "LabelStore",
    "Lesps",
    "Offline",
    "Pal",
    "Paste",
    "Scheme",
    "Taught",
    "Trainee",
]

SCHEMES: dict[str, Callable[..., Scheme]] = {
    "full": Full,
    "boxes": Boxes,
    "offline": Offline,
    "lesps": Lesps,
    "pal": Pal,
    "d2d": D2D,
    "taught": Taught,
    "paste": Paste,
    "displace": Displace,
    "inpaint": Inpaint,
    "distilled": Distilled,
}
