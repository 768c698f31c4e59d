"""Frames, crops and places compared with words: CLIP (Radford et al., ICML 2021) and CLIPSeg.

Weights come from a folder of the user's, as ``save_pretrained`` writes it, with its tokenizer; nothing is
downloaded. Both were trained on colour photographs and their captions. A cell of such a model is 14 to 32
pixels wide, and a target a few: crops and tiles are enlarged to the side that the model takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from infraspot.core.errors import InputError, UsageError
from infraspot.weights.pretrained import kind_of, open_pretrained

Image = NDArray[np.float32]

# What a sentence stands in; its embedding is the mean over these.
TEMPLATES = ("{}", "a thermal image of {}", "an infrared photograph of {}", "a grey, blurred picture of {}")

# What a target is compared with where nothing else is said.
AGAINST = ("empty sky", "the edge of a cloud", "buildings", "trees", "sea waves", "sensor noise")

FAMILIES = {"clip": "CLIPModel", "clipseg": "CLIPSegForImageSegmentation"}

# Means and deviations of the photographs that they were trained on.
SCALING = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "clipseg": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# The side that CLIPSeg was trained at, which its configuration does not say.
CLIPSEG_SIDE, CLIPSEG_NAMED = 352, 224

AT_ONCE = 32


@dataclass(eq=False)
class Words:
    """A model with its tokenizer, the words that are sought, and those that they are told from.

    Attributes
    ----------
    kind
        ``"clip"`` or ``"clipseg"``.
    wanted, against
        Sentences. Of CLIPSeg, whose map says how much one sentence fits, ``against`` plays no part.
    """

    kind: str
    model: Any
    tokenizer: Any
    wanted: Sequence[str]
    against: Sequence[str] = AGAINST

    @property
    def side(self) -> int:
        """Pixels of the square that the model takes."""
        named = int(self.model.config.vision_config.image_size)
        return CLIPSEG_SIDE if self.kind == "clipseg" and named == CLIPSEG_NAMED else named

    @cached_property
    @torch.inference_mode()
    def texts(self) -> Tensor:
        """(T, D) embeddings of unit length, the wanted sentences first."""
        means = []
        for sentence in (*self.wanted, *self.against):
            given = self._tokens([template.format(sentence) for template in TEMPLATES])
            told = self.model.text_projection(self.model.text_model(**given).pooler_output)
            means.append(F.normalize(F.normalize(told, dim=-1).mean(0), dim=-1))
        return torch.stack(means)

    @torch.inference_mode()
    def chances(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N,) how likely a wanted sentence fits each crop (h, w), rather than one that it is told from."""
        self.require("clip", "crops and frames are ranked by CLIP")
        parts = [crops[k : k + AT_ONCE] for k in range(0, len(crops), AT_ONCE)]
        found = [self._chance(self._embedded(self._pixels(part))) for part in parts]
        return torch.cat(found).numpy() if found else np.zeros(0, np.float32)

    def around(self, image: Image, x: float, y: float, sides: Sequence[int] = (16, 32, 64)) -> float:
        """The mean chance of square crops of several sides around a place, inside the frame."""
        crops = []
        for side in sides:
            top, left = (
                int(np.clip(round(middle - side / 2), 0, max(length - side, 0)))
                for middle, length in zip((y, x), image.shape, strict=True)
            )
            crops.append(image[top : top + side, left : left + side])
        return float(self.chances(crops).mean())

    @torch.inference_mode()
    def map_of(self, image: Image, *, tile: int = 64, windows: Sequence[int] = (2, 3)) -> Image:
        """(H, W) in [0, 1]: where the words fit.

        CLIP: WinCLIP (Jeong et al., CVPR 2023), whose authors published no program. Each window of 2x2 and of
        3x3 cells of a tile goes through the model for itself; a cell has the harmonic mean over the windows
        that hold it, over their sizes and the whole tile. CLIPSeg: the map that it was trained to give.

        Parameters
        ----------
        tile
            Side in pixels of the squares that the frame is cut into; its border is repeated for the last.
        windows
            Sides of windows in cells.
        """
        height, width = image.shape
        padded = np.pad(image, ((0, -height % tile), (0, -width % tile)), mode="edge")
        score = np.zeros_like(padded, np.float32)
        for top in range(0, padded.shape[0], tile):
            for left in range(0, padded.shape[1], tile):
                place = np.s_[top : top + tile, left : left + tile]
                pixels = self._pixels([padded[place]], spread=False)
                cells = self._segmented(pixels) if self.kind == "clipseg" else self._windowed(pixels, windows)
                native = F.interpolate(cells[None, None], (tile, tile), mode="bilinear", align_corners=False)
                score[place] = native[0, 0].numpy()
        return score[:height, :width]

    def _windowed(self, pixels: Tensor, windows: Sequence[int]) -> Tensor:
        """(g, g) of one tile, by its cells."""
        vision = self.model.vision_model
        tokens = vision.pre_layrnorm(vision.embeddings(pixels))
        grid = round((tokens.shape[1] - 1) ** 0.5)
        # What the harmonic mean adds up; the whole tile is one window.
        total = (1 / self._chance(self._embedded(pixels))).expand(grid, grid).clone()
        sizes = [side for side in windows if side <= grid]
        for side in sizes:
            corners = [(y, x) for y in range(grid - side + 1) for x in range(grid - side + 1)]
            cells = torch.arange(grid * grid).view(grid, grid)
            chosen = torch.stack([cells[y : y + side, x : x + side].flatten() for y, x in corners])
            parts = torch.cat([tokens[:, :1].expand(len(corners), -1, -1), tokens[0, 1:][chosen]], 1)
            seen = vision.encoder(inputs_embeds=parts).last_hidden_state[:, 0]
            chance = self._chance(self._projected(vision.post_layernorm(seen)))
            inverse, count = torch.zeros(grid, grid), torch.zeros(grid, grid)
            for (y, x), value in zip(corners, chance, strict=True):
                inverse[y : y + side, x : x + side] += 1 / value
                count[y : y + side, x : x + side] += 1
            total += inverse / count
        return (1 + len(sizes)) / total

    def _segmented(self, pixels: Tensor) -> Tensor:
        given = self._tokens(list(self.wanted))
        logits = self.model(pixel_values=pixels.expand(len(self.wanted), -1, -1, -1), **given).logits
        return logits.view(len(self.wanted), *logits.shape[-2:]).sigmoid().amax(0)

    def _tokens(self, sentences: list[str]) -> dict[str, Tensor]:
        given = self.tokenizer(
            sentences,
            padding=True,
            truncation=True,
            max_length=int(self.model.config.text_config.max_position_embeddings),
            return_tensors="pt",
        )
        return {name: given[name] for name in ("input_ids", "attention_mask")}

    def _pixels(self, crops: Sequence[Image], *, spread: bool = True) -> Tensor:
        """(N, 3, side, side): crops enlarged, their grey values over the full range if ``spread``."""
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in SCALING[self.kind])
        squares = []
        for crop in crops:
            grey = torch.from_numpy(np.ascontiguousarray(crop, np.float32))
            if spread:
                grey = (grey - grey.min()) / (grey.max() - grey.min()).clamp_min(1e-6)
            squares.append(
                F.interpolate(grey[None, None], (self.side, self.side), mode="bilinear", antialias=True)
            )
        return (torch.cat(squares).expand(-1, 3, -1, -1) - mean) / deviation

    def _embedded(self, pixels: Tensor) -> Tensor:
        return self._projected(self.model.vision_model(pixel_values=pixels).pooler_output)

    def _projected(self, pooled: Tensor) -> Tensor:
        return F.normalize(self.model.visual_projection(pooled), dim=-1)

    def _chance(self, embedded: Tensor) -> Tensor:
        likeness = self.model.logit_scale.exp() * embedded @ self.texts.T
        return likeness.softmax(-1)[:, : len(self.wanted)].sum(-1).clamp_min(1e-6)

    def require(self, kind: str, purpose: str) -> None:
        """Refuse the other kind of model with a sentence."""
        if self.kind != kind:
            raise UsageError(f"{purpose}, and the weights are those of {self.kind}; rank by map with them")


def open_words(folder: str | Path, wanted: Sequence[str], against: Sequence[str] = AGAINST) -> Words:
    """A model of CLIP or CLIPSeg from a folder, and the words to look for.

    Raises
    ------
    UsageError
        If the extra ``text`` is missing, or a sentence is empty.
    InputError
        If the folder does not hold such a model with its tokenizer.
    """
    if not wanted or not all(sentence.strip() for sentence in (*wanted, *against)):
        raise UsageError("give a sentence to look for, such as 'a small bright target'; none may be empty")
    if not against:
        raise UsageError("give a sentence to tell the others from, such as 'empty sky'")
    kind = kind_of(folder, {name: (name,) for name in FAMILIES})
    model = open_pretrained(folder, kind, FAMILIES[kind], (kind,), extra="text")
    tokenizer = _open_tokenizer(Path(folder), int(model.config.text_config.vocab_size))
    return Words(kind, model, tokenizer, tuple(wanted), tuple(against))


def _open_tokenizer(folder: Path, words: int) -> Any:
    """The tokenizer beside the weights; transformers would make up an empty one where there is none."""
    from transformers import AutoTokenizer

    expected = "expected tokenizer.json, or vocab.json and merges.txt, as they came with the weights"
    parts = [(folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "merges.txt")]
    if not (parts[0] or all(parts[1:])):
        raise InputError(f"{folder} holds no tokenizer; {expected}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged file fails in as many ways as its parser knows
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"cannot read the tokenizer in {folder}: {reason}; {expected}") from error
    if len(tokenizer) != words:
        raise InputError(
            f"the tokenizer in {folder} knows {len(tokenizer)} words, and the model {words}; {expected}"
        )
    return tokenizer
