"""Schemes: what full, point-supervised and other training adds to one loop; :data:`SCHEMES` lists them."""

from collections.abc import Callable

from infraspot.losses import Batch
from infraspot.schemes.adabn import AdaBN
from infraspot.schemes.adversarial import Adversarial
from infraspot.schemes.analytic_filters import AnalyticFilters
from infraspot.schemes.base import Scheme, Trainee
from infraspot.schemes.boxes import Boxes
from infraspot.schemes.camera import FDA, CameraMatch, CameraScenes
from infraspot.schemes.coral import Coral
from infraspot.schemes.d2d import D2D
from infraspot.schemes.displace import Displace
from infraspot.schemes.distilled import Distilled
from infraspot.schemes.finetune import FineTune
from infraspot.schemes.full import Full
from infraspot.schemes.inpaint import Inpaint
from infraspot.schemes.labels import LabelStore
from infraspot.schemes.lesps import Lesps
from infraspot.schemes.maml import MAML
from infraspot.schemes.offline import Offline
from infraspot.schemes.pal import Pal
from infraspot.schemes.paste import Paste
from infraspot.schemes.prototypes import CosineHead, IncrementalPrototypes, Prototypes
from infraspot.schemes.sdaistd import SDAISTD
from infraspot.schemes.self_training import SelfTraining
from infraspot.schemes.taught import Taught

__all__ = [
    "D2D",
    "FDA",
    "MAML",
    "SCHEMES",
    "SDAISTD",
    "AdaBN",
    "Adversarial",
    "AnalyticFilters",
    "Batch",
    "Boxes",
    "CameraMatch",
    "CameraScenes",
    "Coral",
    "CosineHead",
    "Displace",
    "Distilled",
    "FineTune",
    "Full",
    "IncrementalPrototypes",
    "Inpaint",
    "LabelStore",
    "Lesps",
    "Offline",
    "Pal",
    "Paste",
    "Prototypes",
    "Scheme",
    "SelfTraining",
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
    "finetune": FineTune,
    "maml": MAML,
    "cosine_head": CosineHead,
    "prototypes": Prototypes,
    "incremental_prototypes": IncrementalPrototypes,
    "analytic_filters": AnalyticFilters,
    "sdaistd": SDAISTD,
    "self_training": SelfTraining,
    "adabn": AdaBN,
    "coral": Coral,
    "adversarial": Adversarial,
    "fda": FDA,
    "camera_match": CameraMatch,
    "camera_scenes": CameraScenes,
}
