"""CLIP with learnt prompts: where a frame looks more like a target than like clutter.

After AdaCLIP (Cao et al., ECCV 2024; MIT) and AnomalyCLIP (Zhou et al., ICLR 2024): CLIP stays as it is, and
what is trained is small. Two sentences of learnt words, for target and for clutter, change with the image
(``dynamic``); learnt projections bring the cells of several layers of the image's transformer to the
sentences. The answer at a cell is the difference of its likenesses to the two, the mean over the layers.

Departures: AdaCLIP puts learnt tokens into every layer of both transformers and blurs its map by four pixels,
which would wipe out targets of three. Here words are learnt at the input alone, nothing is blurred, and a
frame is cut into tiles that are enlarged, since a cell is larger than a target.

Weights come from a folder of the user's through ``infraspot convert-weights FOLDER --network clip``. Needs
the extra ``text``.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.transformer import from_windows, to_windows
from infraspot.core.errors import UsageError
from infraspot.core.extras import require
from infraspot.core.options import require_whole
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.settings import Settings, tables_of
from infraspot.networks.sheet import Sheet

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

# Cells are far likelier clutter than target.
PRIOR_LOGIT = -4.0


class PromptedCLIP(SegmentationNetwork):
    """Tiles of a frame against two learnt sentences.

    Parameters
    ----------
    config
        The model's form, as :func:`infraspot.networks.settings.settings_of` gives it; conversion fills it in.
    words
        Learnt words of each sentence.
    layers
        How many layers of the image's transformer, evenly spaced up to the last, are compared.
    dynamic
        Whether the words change with the image.
    tile
        Side of a tile in pixels.

    Raises
    ------
    UsageError
        If the extra is missing, or there is no configuration.
    """

    sheet = Sheet(
        family="foundation",
        source="Radford et al., ICML 2021; Cao et al., ECCV 2024",
        licence="Apache-2.0, written afresh; weights of the user's",
    )

    def __init__(
        self,
        config: Settings | None = None,
        words: int = 8,
        layers: int = 4,
        dynamic: bool = True,
        tile: int = 64,
    ):
        super().__init__()
        require("text", "the network clip")
        require_whole(1, 64, words=words, layers=layers)
        require_whole(16, 256, tile=tile)
        if config is None:
            raise UsageError(
                "the network clip is made from a folder of weights: `infraspot convert-weights FOLDER"
                " --network clip --out FILE`, then `infraspot train RECIPE --start FILE`"
            )
        self.stride = tile
        self.model = _model_of(config).requires_grad_(False)
        text, vision = self.model.config.text_config, self.model.config.vision_config
        depth, width = int(vision.num_hidden_layers), int(self.model.config.projection_dim)
        count = min(layers, depth)
        self.layers = [round((k + 1) * depth / count) for k in range(count)]
        self.side = int(vision.image_size)
        self.words = nn.Parameter(0.02 * torch.randn(2, words, int(text.hidden_size)))
        self.change = nn.Linear(width, int(text.hidden_size)) if dynamic else None
        self.projections = nn.ModuleList(nn.Linear(width, width) for _ in self.layers)
        self.offset = nn.Parameter(torch.tensor(PRIOR_LOGIT))
        for layer in (*self.projections, *([] if self.change is None else [self.change])):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def segment(self, image: Tensor) -> SegOutput:
        tiles = to_windows(image, self.stride)
        large = F.interpolate(tiles, (self.side, self.side), mode="bilinear", align_corners=False)
        mean, deviation = (tiles.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        with torch.no_grad():
            vision = self.model.vision_model
            told = vision((large.expand(-1, 3, -1, -1) - mean) / deviation, output_hidden_states=True)
            whole = F.normalize(self.model.visual_projection(told.pooler_output), dim=-1)
            cells = [
                self.model.visual_projection(vision.post_layernorm(told.hidden_states[layer][:, 1:]))
                for layer in self.layers
            ]
        sentences = self._sentences(whole)
        maps = [
            (F.normalize(own + learn(own), dim=-1) @ sentences.transpose(1, 2))
            for own, learn in zip(cells, self.projections, strict=True)
        ]
        likeness = torch.stack(maps).mean(0)
        logits = self.model.logit_scale.exp() * (likeness[..., 0] - likeness[..., 1]) + self.offset
        grid = round(logits.shape[1] ** 0.5)
        native = F.interpolate(
            logits.view(-1, 1, grid, grid), (self.stride, self.stride), mode="bilinear", align_corners=False
        )
        return SegOutput(from_windows(native, tuple(image.shape)))

    def _sentences(self, whole: Tensor) -> Tensor:
        """(M, 2, D) embeddings of unit length of both sentences for each of M tiles."""
        words = self.words.expand(len(whole), -1, -1, -1)
        if self.change is not None:
            words = words + self.change(whole)[:, None, None]
        text = self.model.text_model
        # A sentence lies between the last two words of the vocabulary, which old configurations misname.
        ends = text.embeddings.token_embedding.weight[-2:]
        begin, end = (row.expand(len(whole), 2, 1, -1) for row in ends)
        sentence = text.embeddings(inputs_embeds=torch.cat([begin, words, end], 2).flatten(0, 1))
        length = sentence.shape[1]
        # Each word sees those before it.
        hidden = torch.full((length, length), torch.finfo(sentence.dtype).min, device=sentence.device).triu(1)
        told = text.encoder(inputs_embeds=sentence, attention_mask=hidden[None, None]).last_hidden_state
        pooled = self.model.text_projection(text.final_layer_norm(told)[:, -1])
        return F.normalize(pooled, dim=-1).unflatten(0, (-1, 2))


def _model_of(settings: Mapping[str, Any]) -> Any:
    """A CLIP with fresh weights of the form that the settings say."""
    import transformers

    config = transformers.CLIPConfig(**copy.deepcopy(tables_of(settings)))
    config._attn_implementation = "eager"
    return transformers.CLIPModel(config).eval()
