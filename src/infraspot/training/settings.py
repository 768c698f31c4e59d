"""The parts of a recipe: which options there are, their types and their defaults."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """A table whose options are all known here."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Named(BaseModel):
    """A table with a name; the other options belong to what the name stands for."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class AboutPart(Part):
    """``[about]``: what a recipe writes down, such as a row of a paper's table; training does not read it."""

    title: str
    source: str


class NetworkPart(Named):
    """``[network]``: a name and the network's own options.

    ``start`` is a weight file, a run folder or a packaged model to begin with instead of fresh weights;
    ``pruned`` are the widths of a pruned network's layers, and ``input`` the mean and deviation that it takes
    out of its image, both as its card gives them.
    """

    start: str | None = None
    pruned: dict[str, tuple[int, int]] = {}
    input: dict[Literal["mean", "std"], float] = {}

    @property
    def spec(self) -> dict[str, Any]:
        """How to build it, as the card of a weight file says it."""
        spec: dict[str, Any] = {"name": self.name, "options": self.options}
        spec |= {"widths": self.pruned} if self.pruned else {}
        return spec | ({"input": self.input} if self.input else {})


class ChoicePart(Part):
    """``choice`` in ``[data]``: train on a share of the frames.

    ``by = "weight"`` takes the highest in ``weights``, the ``frames.csv`` of a run of the scheme d2d;
    ``"prior"`` the faintest targets, from image and clicks; ``"random"`` draws by the seed.
    """

    by: Literal["weight", "prior", "random"] = "random"
    share: float = Field(default=0.3, gt=0, le=1)
    weights: str | None = None


class DataPart(Part):
    """``[data]``: where the frames come from.

    ``set`` is a folder within the one that the environment variable INFRASPOT_DATA names; ``path`` is a
    folder of its own; ``merge`` are several of either, read as one, and the ids of frames begin with the
    name of the set. ``split = "all"``, for schemes that learn from frames alone, takes every image, stack and
    video of a folder. Frames with a target from the same split of ``sets``, folders or sets within
    INFRASPOT_DATA, are trained on too. ``scenes`` generated frames are added to those read, or stand alone.
    ``balance`` draws the frames of an epoch so that all sets (``"sets"``), or targets of each size and
    contrast (``"targets"``), come equally often; ``"none"`` draws each frame once.
    ``clip`` makes clips of so many registered frames for networks of sequences: of frames whose ids differ in
    their last number alone, every ``clip_every``-th is labelled and has those before it.
    ``points`` are the clicks of schemes that train without masks: ``"auto"`` takes the set's own, and where
    there are none, the centroid of each target; ``"centroid"`` and ``"coarse"`` make them of the masks, as
    papers simulate clicks; else the path of a points file.
    """

    set: str | None = None
    path: str | None = None
    merge: list[str] = []
    sets: list[str] = []
    layout: str = "auto"
    balance: Literal["none", "targets", "sets"] = "none"
    points: str = "auto"
    choice: ChoicePart | None = None
    split: str = "train"
    val_split: str = "val"
    test_split: str = "test"
    scenes: int = Field(default=0, ge=0)
    val_scenes: int = Field(default=0, ge=0)
    scene_seed: int = Field(default=0, ge=0)
    scene_options: dict[str, Any] = {}
    clip: int = Field(default=1, ge=1, le=64)
    clip_every: int = Field(default=1, ge=1)
    cache_gb: float = Field(default=4.0, ge=0)


class FurtherPart(Part):
    """``[negatives]`` and ``[unlabelled]``: frames of another set, a few of which join each batch.

    Negatives are frames without any target; those whose mask is not empty are left out. Of unlabelled frames
    a scheme sees the images alone. ``augment`` is their own: there is no target to crop on.
    Unless ``path`` or ``set`` names their folder, no frame joins.
    """

    set: str | None = None
    path: str | None = None
    layout: str = "auto"
    split: str = "train"
    per_batch: int = Field(default=2, gt=0)
    augment: list[Named] = []


class LossPart(Part):
    """``[loss]``: weights of named losses, of the maps, of losses on the edge map.

    ``aux_weights`` are the weights of the maps, the answer's first, or one number for each auxiliary map. In
    the first ``warm_up`` epochs the finest auxiliary map alone is trained. Terms that read no map (fidelity,
    contrast, wavelet_sparsity) are added once. ``edge_truth`` is what ``edge`` terms are compared with.
    """

    terms: dict[str, float] = {"soft_iou": 1.0}
    options: dict[str, dict[str, Any]] = {}
    aux_weights: list[float] | float | None = None
    aux_size: Literal["pool", "upsample"] = "pool"
    aux_mean: bool = False
    warm_up: int = Field(default=0, ge=0)
    edge: dict[str, float] = {}
    edge_truth: Literal["gradient", "outline"] = "gradient"


class PrunePart(Part):
    """``[prune]``: before each epoch the least important filters are set to 0, and may come back.

    ``keep`` is the share that stays, of the filters that can be pruned.
    """

    keep: float = Field(gt=0, le=1)


class SecondLookPart(Part):
    """``[second_look]``: a small network that judges each candidate of the trained one again.

    Candidates are found above ``level`` in the frames of ``[data]`` and of ``sets``: folders, or sets within
    the folder that INFRASPOT_DATA names. They hold the pixels above ``outline``. Where ``outlines`` is
    "levels", each target then gets the level set of the frame that fits it best
    (:mod:`infraspot.annotators.profile.outline`); with "map" it keeps its pixels. Where ``mirrored``,
    candidates in doubt are seen in eight mirrored and transposed forms, and the mean of the
    answers counts. ``wide`` is the side of the wide window in pixels; the network sees it at 64x64.

    ``pasted`` times, targets are cut out of these frames and pasted into all of them: with a mean contrast of
    ``pasted_scr`` deviations of the place, at ``pasted_zoom`` of their size. Where the network finds them,
    they are candidates too, ``pasted_share`` of those with a target in a batch. ``zoom`` and ``gamma`` bound
    random changes of a candidate's size and brightness, ``noise`` is in deviations of the window. The weights
    are a running mean that keeps ``ema`` at each step.

    Candidates of all frames changed by ``augment``, once each, and of ``scenes`` generated ones are learnt
    from too; nothing is chosen on them.

    ``points`` names operating points by their false alarms in 10^6 pixels of the held-out frames. A sibling
    is trained without the frames whose names begin with one of ``left_out``, and without targets cut out of
    them, and the card says what it gives on them.
    """

    sets: list[str] = []
    level: float = Field(default=0.05, gt=0, lt=1)
    outline: float = Field(default=0.5, gt=0, lt=1)
    outlines: Literal["map", "levels"] = "levels"
    mirrored: bool = True
    wide: Literal[128, 192, 256] = 128
    widths: tuple[int, int, int] = (16, 28, 40)
    augment: list[Named] = []
    scenes: int = Field(default=0, ge=0)
    scene_options: dict[str, Any] = {
        "kinds": ["street", "roofs", "towers"],
        "weights": [2.0, 1.0, 1.0],
        "size": [640, 512],
        "targets": [0, 2],
    }
    pasted: int = Field(default=1, ge=0)
    pasted_share: float = Field(default=0.5, ge=0, lt=1)
    pasted_scr: tuple[float, float] = (2.0, 20.0)
    pasted_zoom: tuple[float, float] = (0.5, 2.0)
    steps: int = Field(default=600, gt=0)
    batch: int = Field(default=64, ge=2)
    lr: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    noise: float = Field(default=0.05, ge=0)
    zoom: float = Field(default=1.4, ge=1)
    gamma: float = Field(default=1.35, ge=1)
    points: dict[str, Annotated[float, Field(gt=0)]] = {"quiet": 0.1, "balanced": 0.4, "keen": 1.0}
    left_out: list[str] = []


class PeaksPart(Part):
    """``[peaks]``: score maps are parted into one region a target (:mod:`infraspot.inference.peaks`).

    Pixels above ``level`` climb to their peaks. A target is its pixels above ``share`` of its highest score.
    Peaks are one target where the way between them keeps above ``saddle`` of the lower one. Their scores, and
    the threshold, are fitted to the validation frames after the last epoch.
    """

    level: float = Field(default=0.02, gt=0, lt=1)
    share: float = Field(default=0.5, gt=0, lt=1)
    saddle: float = Field(default=0.85, gt=0, lt=1)


class OptimiserPart(Named):
    """``[optimiser]``: a name, the learning rate, and the optimiser's own options.

    ``prodigy`` finds its step size by itself; ``lr`` is a factor on it, 1 if left out.
    ``weight_decay`` spares biases and normalisation unless ``decay_all``.
    """

    name: str = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    decay_all: bool = False
    clip: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _free_of_rate(cls, given: Any) -> Any:
        free = isinstance(given, dict) and given.get("name") == "prodigy"
        return {"lr": 1.0, **given} if free else given


class SchedulePart(Part):
    """``[schedule]``: how the learning rate falls; ``warm_up`` in epochs, ``floor`` a share of the rate.

    ``restarts`` is a cosine that begins again after ``cycle`` epochs, each one ``lengthen`` times as long as
    that before (Loshchilov and Hutter, 2017).
    """

    name: Literal["cosine", "restarts", "poly", "constant", "steps"] = "cosine"
    warm_up: float = Field(default=0.0, ge=0)
    floor: float = Field(default=0.0, ge=0, le=1)
    power: float = Field(default=0.9, gt=0)
    milestones: list[float] = [0.5, 0.75]
    gamma: float = Field(default=0.1, gt=0, le=1)
    cycle: float = Field(default=50.0, gt=0)
    lengthen: float = Field(default=1.0, ge=1)


class TrainPart(Part):
    """``[train]``: how long, on what, and what is kept.

    No epochs leave the weights as they began, which is of use before ``[second_look]`` and
    ``[peaks]``.
    ``select`` is the number of the validation that the best epoch maximises, or a sum of numbers by weight.
    ``patience`` ends the run when the best epoch lies so many epochs back.
    ``select_on`` is ``"val"``, the masks of the validation frames, or ``"clicks"``, the masks that
    ``profile`` grows from their clicks; ``"auto"`` is ``"val"`` for schemes that train on masks, and
    ``"clicks"`` for the others. ``"none"`` validates nothing and keeps the last weights; it is ``"auto"`` for
    schemes that learn from frames alone. ``"test"`` exists for parity with papers that chose so, and stamps
    the weights.
    The optimiser steps once every ``accumulate`` batches. Each batch is split over ``devices``.
    ``precision = "auto"`` is "bf16-mixed" on GPUs and CPUs that compute in bfloat16, else "32-true".
    """

    epochs: int = Field(default=100, ge=0)
    batch: int = Field(default=8, gt=0)
    accumulate: int = Field(default=1, gt=0)
    drop_last: bool = False
    seed: int = Field(default=0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    select: str | dict[str, float] = "iou"
    patience: int | None = Field(default=None, gt=0)
    select_on: Literal["auto", "val", "clicks", "test", "none"] = "auto"
    protocol: str = "basicirstd"
    evaluate_every: int = Field(default=1, gt=0)
    save_seconds: float = Field(default=60.0, ge=0)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, gt=0)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"
    channels_last: bool = True
    threads: int = Field(default=0, ge=0)
    tensorboard: bool = True
    mlflow: str | None = None


class Recipe(Part):
    """A whole recipe; every part but the network has a default."""

    about: AboutPart | None = None
    network: NetworkPart
    data: DataPart = DataPart()
    augment: list[Named] = []
    negatives: FurtherPart | None = None
    unlabelled: FurtherPart | None = None
    loss: LossPart = LossPart()
    prune: PrunePart | None = None
    second_look: SecondLookPart | None = None
    peaks: PeaksPart | None = None
    optimiser: OptimiserPart = OptimiserPart()
    schedule: SchedulePart = SchedulePart()
    scheme: Named = Named(name="full")
    train: TrainPart = TrainPart()
