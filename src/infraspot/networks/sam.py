"""Segment Anything (SAM, SAM 2), tuned for targets: its decoder, adapters, LoRA, learnt prompts, or all.

A frame is cut into tiles, each enlarged to the side that the model was trained on, since its cells of 16
pixels are larger than most targets. No prompt of a person is used: the model answers with its first mask.

``tune`` says what is trained, beside the mask decoder where nothing else is said:

- ``"decoder"``: the mask decoder alone. What the encoder says of a tile is kept, so that a tile that comes
  again costs the decoder only.
- ``"adapter"``: bottlenecks in each block of the encoder (Medical SAM Adapter, Wu et al., 2023): one after
  the attention with a skip, one beside the MLP. The last layer begins at zero, which the authors' program
  does not, so that the model answers as before until it is trained.
- ``"lora"``: low-rank additions to the attention's projections (Hu et al., 2021), zero at first.
- ``"full"``: encoder and decoder (MedSAM, Ma et al., 2024); a GPU's work.
- ``"prompts"``: nothing of the model. Of use with ``prompter``.

``prompter`` adds the compact network, whose features at a quarter of the tile become a dense prompt (AutoSAM,
Shaharabany et al., 2023, by a network of ours and without its min-max normalisation, which finds a target in
every frame). Its own answer is the auxiliary map.

Weights come from a folder of the user's through ``infraspot convert-weights FOLDER --network sam``. Needs the
extra ``sam``.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.transformer import from_windows, to_windows
from infraspot.core.errors import UsageError
from infraspot.core.extras import require
from infraspot.core.options import require_number, require_whole
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.compact import Compact
from infraspot.networks.settings import Settings, tables_of
from infraspot.networks.sheet import Sheet

KINDS = {"sam": "SamModel", "sam2": "Sam2Model"}
CONFIGS = {"sam": "SamConfig", "sam2": "Sam2Config"}
TUNES = ("decoder", "adapter", "lora", "full", "prompts")

# Channels of the compact network at a quarter of the frame.
QUARTER_WIDTH = 32

# Of the photographs that the models were trained on, by channel.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Channels of the compact network at a quarter of the frame.
QUARTER_WIDTH = 32

# Of the photographs that the models were trained on, by channel.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# The encoder of SAM 2, which its configuration names.
BACKBONE = "sam2_hiera_det_model"


class TunedSAM(SegmentationNetwork):
    """A model of either kind, on tiles.

    Parameters
    ----------
    kind
        ``"sam"`` or ``"sam2"``.
    config
        The model's form, as :func:`infraspot.networks.settings.settings_of` gives it; conversion fills it in.
    tune, prompter
        What is trained, and whether the compact network gives prompts.
    tile
        Side of a tile in pixels.
    rank
        Of LoRA.
    cache_gb
        Memory for what a frozen encoder says of tiles while the network trains.

    Raises
    ------
    UsageError
        If the extra is missing, or an option is none of those.
    """

    sheet = Sheet(
        family="foundation",
        source="Kirillov et al., ICCV 2023; Ravi et al., 2024",
        licence="Apache-2.0; weights of the user's",
    )

    def __init__(
        self,
        kind: Literal["sam", "sam2"] = "sam",
        config: Settings | None = None,
        tune: Literal["decoder", "adapter", "lora", "full", "prompts"] = "decoder",
        prompter: bool = False,
        tile: int = 256,
        rank: int = 4,
        cache_gb: float = 1.0,
    ):
        super().__init__()
        require("sam", "the network sam")
        require_whole(16, 256, tile=tile)
        require_whole(1, 256, rank=rank)
        require_number(0, 4096, cache_gb=cache_gb)
        if kind not in KINDS or tune not in TUNES:
            raise UsageError(
                f"the network sam is of the kind {' or '.join(KINDS)} and tunes one of {', '.join(TUNES)};"
                f" kind is {kind!r} and tune is {tune!r}"
            )
        if tune == "prompts" and not prompter:
            raise UsageError("tune is 'prompts', and there is no prompter to train; set prompter to true")
        if config is None:
            raise UsageError(
                "the network sam is made from a folder of weights: `infraspot convert-weights FOLDER"
                " --network sam --out FILE`, then `infraspot train RECIPE --start FILE`"
            )
        self.kind, self.tune, self.stride = kind, tune, tile
        self.model = _model_of(kind, config).requires_grad_(False)
        self.side = int(self.model.config.prompt_encoder_config.image_size)
        self.encoder_trains = tune in ("adapter", "lora", "full")
        self._choose(tune, rank)
        width = self.model.prompt_encoder.no_mask_embed.weight.shape[1]
        self.prompter = Compact() if prompter else None
        self.prompts = nn.Conv2d(QUARTER_WIDTH, width, 1) if prompter else None
        for parameter in self.prompts.parameters() if self.prompts is not None else ():
            nn.init.zeros_(parameter)
        self._kept = _Kept(cache_gb * 2**30)

    def segment(self, image: Tensor) -> SegOutput:
        tiles = to_windows(image, self.stride)
        dense = self.model.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        maps, aux = self._encoded(tiles), tuple[Tensor, ...]()
        if self.prompter is not None and self.prompts is not None:
            features, answer = self._prompted(self.prompter, tiles)
            prompts = F.interpolate(self.prompts(features), maps[-1].shape[-2:], mode="bilinear")
            dense, aux = dense + prompts, (from_windows(answer, tuple(image.shape)),)
        logits = self._decoded(maps, dense.expand(len(tiles), -1, *maps[-1].shape[-2:]).contiguous())
        native = F.interpolate(logits, (self.stride, self.stride), mode="bilinear", align_corners=False)
        return SegOutput(from_windows(native, tuple(image.shape)), aux)

    def _choose(self, tune: str, rank: int) -> None:
        """Unfreeze what is trained, and add what is new."""
        if tune != "prompts":
            self.model.mask_decoder.requires_grad_(True)
        if tune == "full":
            self.model.vision_encoder.requires_grad_(True)
        for block in self._blocks() if tune in ("adapter", "lora") else ():
            if tune == "adapter":
                width = block.layer_norm2.normalized_shape[0]
                block.attn = _AfterAttention(block.attn, width)
                block.mlp = _BesideMLP(block.mlp, width)
            else:
                block.attn.qkv = _LowRank(block.attn.qkv, rank)
                block.attn.proj = _LowRank(block.attn.proj, rank)

    def _blocks(self) -> list[Any]:
        encoder = self.model.vision_encoder
        return list(encoder.layers if self.kind == "sam" else encoder.backbone.blocks)

    def _encoded(self, tiles: Tensor) -> list[Tensor]:
        """Feature maps of each tile, the coarsest last.

        Of a frozen encoder they are rounded to half precision, whether they are kept or not, so that a run
        computes the same wherever it begins.
        """
        if self.encoder_trains:
            return self._encode(tiles)
        with torch.no_grad():
            if not self.training:
                return [map_.half().to(tiles.dtype) for map_ in self._encode(tiles)]
            maps = self._kept.maps_of(tiles, self._encode)
            return [map_.to(tiles.device, tiles.dtype) for map_ in maps]

    def _encode(self, tiles: Tensor) -> list[Tensor]:
        large = F.interpolate(tiles, (self.side, self.side), mode="bilinear", align_corners=False)
        mean, deviation = (tiles.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        told = self.model.vision_encoder((large.expand(-1, 3, -1, -1) - mean) / deviation)
        if self.kind == "sam":
            return [told.last_hidden_state]
        maps = list(told.fpn_hidden_states)
        maps[-1] = maps[-1] + self.model.no_memory_embedding.view(1, -1, 1, 1)
        return maps

    def _decoded(self, maps: list[Tensor], dense: Tensor) -> Tensor:
        """(M, 1, h, w) logits of the first mask."""
        count, decoder = len(dense), self.model.mask_decoder
        given: dict[str, Any] = {
            "image_embeddings": maps[-1],
            "image_positional_embeddings": self.model.get_image_wide_positional_embeddings().repeat(
                count, 1, 1, 1
            ),
            "sparse_prompt_embeddings": None,
            "dense_prompt_embeddings": dense,
            "multimask_output": False,
        }
        if self.kind == "sam2":
            given["sparse_prompt_embeddings"] = dense.new_zeros(count, 1, 0, dense.shape[1])
            given["high_resolution_features"] = [decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1])]
        logits: Tensor = decoder(**given)[0]
        return logits[:, 0]

    def _prompted(self, prompter: Compact, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the compact network's decoder at a quarter of the tile, and its answer."""
        seen: list[Tensor] = []
        hook = prompter.decoder[1].register_forward_hook(lambda layer, given, told: seen.append(told))
        try:
            answer = prompter(tiles).logits
        finally:
            hook.remove()
        return seen[0], answer


class _Bottleneck(nn.Module):
    """To a quarter of the width and back, with a GELU between; zero at first."""

    def __init__(self, width: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, max(width // 4, 1)), nn.Linear(max(width // 4, 1), width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.gelu(self.down(x)))


class _AfterAttention(nn.Module):
    """What attention says, and what a bottleneck makes of that."""

    def __init__(self, inner: nn.Module, width: int):
        super().__init__()
        self.inner, self.adapter = inner, _Bottleneck(width)

    def forward(self, *given: Any, **named: Any) -> Any:
        told = self.inner(*given, **named)
        if isinstance(told, tuple):
            return (told[0] + self.adapter(told[0]), *told[1:])
        return told + self.adapter(told)


class _BesideMLP(nn.Module):
    """What the MLP says of its input, and half of what a bottleneck does."""

    def __init__(self, inner: nn.Module, width: int):
        super().__init__()
        self.inner, self.adapter = inner, _Bottleneck(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 0.5 * self.adapter(x)


class _LowRank(nn.Module):
    """A linear layer, and a product of two thin ones; zero at first."""

    def __init__(self, inner: nn.Linear, rank: int):
        super().__init__()
        self.inner = inner
        self.down = nn.Linear(inner.in_features, rank, bias=False)
        self.up = nn.Linear(rank, inner.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.up(self.down(x))


class _Kept:
    """What an encoder said of tiles, in half precision, up to ``limit`` bytes; the oldest goes first."""

    def __init__(self, limit: float) -> None:
        self.limit, self.size = limit, 0
        self.maps: OrderedDict[bytes, list[Tensor]] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Kept":
        return _Kept(self.limit)

    def maps_of(self, tiles: Tensor, encode: Any) -> list[Tensor]:
        """Feature maps of all tiles, (M, C, h, w) each; ``encode`` is asked for those that are new."""
        keys = [hashlib.sha256(tile.cpu().contiguous().numpy().tobytes()).digest() for tile in tiles]
        known = {key: self.maps[key] for key in keys if key in self.maps}
        new = {key: place for place, key in enumerate(keys) if key not in known}
        if new:
            told = [map_.half().cpu() for map_ in encode(tiles[list(new.values())])]
            for row, key in enumerate(new):
                known[key] = [map_[row].clone() for map_ in told]
                self._keep(key, known[key])
        return [torch.stack(maps) for maps in zip(*(known[key] for key in keys), strict=True)]

    def _keep(self, key: bytes, maps: list[Tensor]) -> None:
        self.maps[key] = maps
        self.size += sum(map_.nbytes for map_ in maps)
        while self.size > self.limit and self.maps:
            _, oldest = self.maps.popitem(last=False)
            self.size -= sum(map_.nbytes for map_ in oldest)


def _model_of(kind: str, settings: Mapping[str, Any]) -> Any:
    """A model with fresh weights of the form that the settings say."""
    import transformers

    config = getattr(transformers, CONFIGS[kind])(**tables_of(settings))
    config._attn_implementation = "eager"
    model = getattr(transformers, KINDS[kind])(config)
    if kind == "sam2":
        # Its rule changes masks in evaluation alone; training could not see it.
        model.mask_decoder.dynamic_multimask_via_stability = False
    return model.eval()
