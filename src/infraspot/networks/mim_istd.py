"""MiM-ISTD: Mamba-in-Mamba for efficient detection (Chen et al., IEEE TGRS, 2024).

The survey's "other methods": context at linear cost. An image is a map of "sentences" (8x8 pixels each, at
first), and a sentence is 4x4 "words". The inner Mamba scans the words inside each sentence (local
information), whose sum enters the sentence; the outer Mamba scans the sentences (global information). Four
levels of both, merged two by two, feed a residual decoder with patch expansion.

Parameters: 4.86 M (the authors' program: 5.10 M at 256x256, of which .23 M are relative positions that
it never uses). Departures: the program reshapes (locations, channels) to (channels, H, W) without a
transpose, on entering each scan and before each feed-forward, which scrambles the map; here the map stays a
map. The scan is plain torch. With the two places corrected in the program and its weights carried over,
outputs agree to 1e-5 of their range.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct, LayerNorm2d, resize_to
from infraspot.blocks.residual import ResidualBlock, stage
from infraspot.blocks.state_space import SelectiveScan2d
from infraspot.blocks.transformer import from_windows, to_windows
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

WORDS = 4  # words along each side of a sentence


class _FeedForward(nn.Module):
    """Inverted residual: 1x1 up, a depthwise 3x3 added, 1x1 down, each with GELU and norm."""

    def __init__(self, channels: int, expansion: int = 2):
        super().__init__()
        inner = expansion * channels
        self.up = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.GELU(), nn.BatchNorm2d(inner))
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner), nn.GELU(), nn.BatchNorm2d(inner)
        )
        self.down = nn.Sequential(nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        return self.down(x + self.depthwise(x))


class _SentenceNorm(nn.Module):
    """Layer norm over all words of a sentence; (N, c, 4h, 4w) in and out."""

    def __init__(self, word_channels: int):
        super().__init__()
        self.norm = LayerNorm2d(WORDS * WORDS * word_channels)

    def forward(self, words: Tensor) -> Tensor:
        return F.pixel_shuffle(self.norm(F.pixel_unshuffle(words, WORDS)), WORDS)


class _InnerMamba(nn.Module):
    """A scan over the words of each sentence, then a feed-forward; the sentence adds their projection."""

    def __init__(self, word_channels: int, sentence_channels: int):
        super().__init__()
        self.norm_scan = _SentenceNorm(word_channels)
        self.scan = SelectiveScan2d(word_channels, longest=WORDS * WORDS)
        self.norm_feed = _SentenceNorm(word_channels)
        self.feed = _FeedForward(word_channels)
        self.tell = nn.Sequential(
            LayerNorm2d(WORDS * WORDS * word_channels),
            nn.Conv2d(WORDS * WORDS * word_channels, sentence_channels, 1, bias=False),
            LayerNorm2d(sentence_channels),
        )

    def forward(self, words: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm_scan(words)
        words = words + from_windows(self.scan(to_windows(normed, WORDS)), normed.shape)
        words = words + self.feed(self.norm_feed(words))
        return words, sentences + self.tell(F.pixel_unshuffle(words, WORDS))


class _OuterMamba(nn.Module):
    """A scan over the sentences of the image, then a feed-forward."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm_scan = LayerNorm2d(channels)
        self.scan = SelectiveScan2d(channels)
        self.norm_feed = LayerNorm2d(channels)
        self.feed = _FeedForward(channels)

    def forward(self, sentences: Tensor) -> Tensor:
        sentences = sentences + self.scan(self.norm_scan(sentences))
        return sentences + self.feed(self.norm_feed(sentences))


class _MergeWords(nn.Module):
    """2x2 sentences become one: a strided 3x3, within their 8x8 words, leaves 4x4 words."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm = LayerNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, 2, 1)

    def forward(self, words: Tensor) -> Tensor:
        count, _, height, width = words.shape
        merged = self.conv(to_windows(self.norm(words), 2 * WORDS))
        return from_windows(merged, (count, merged.shape[1], height // 2, width // 2))


class _Enlarge(nn.Sequential):
    """A transposed 2x2 and a 3x3, each with norm and GELU, at twice the size."""

    def __init__(self, channels: int):
        super().__init__(
            nn.ConvTranspose2d(channels, channels, 2, 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            ConvNormAct(channels, channels, act=False),
            nn.GELU(),
        )


class _Expand(nn.Sequential):
    """Patch expansion: twice the size at half the channels, by a 1x1 and a shuffle."""

    def __init__(self, channels: int):
        super().__init__(
            nn.Conv2d(channels, 2 * channels, 1, bias=False), nn.PixelShuffle(2), LayerNorm2d(channels // 2)
        )


class MiMISTD(SegmentationNetwork):
    """Four levels of 32 to 256 channels (words: 4 to 32), two blocks each; the first of them has the inner
    Mamba."""

    sheet = Sheet(family="other: state space", source="Chen et al., IEEE TGRS 2024", parity=6.6e-7)
    stride = 64
    training_side = 128

    def __init__(
        self, widths: tuple[int, ...] = (32, 64, 128, 256), word_widths: tuple[int, ...] = (4, 8, 16, 32)
    ):
        super().__init__()
        word = word_widths[0]
        self.stem = ConvNormAct(1, 2 * word, stride=2)
        self.word_stem = ConvNormAct(2 * word, word)
        self.sentence_stem = nn.Sequential(
            ConvNormAct(2 * word, 4 * word, stride=2),
            ConvNormAct(4 * word, 8 * word, stride=2),
            ConvNormAct(8 * word, widths[0]),
        )
        self.merge_words = nn.ModuleList(map(_MergeWords, word_widths[:-1], word_widths[1:]))
        self.merge_sentences = nn.ModuleList(
            nn.Sequential(
                nn.PixelUnshuffle(2), LayerNorm2d(4 * width), nn.Conv2d(4 * width, 2 * width, 1, bias=False)
            )
            for width in widths[:-1]
        )
        self.inner = nn.ModuleList(map(_InnerMamba, word_widths, widths))
        self.outer = nn.ModuleList(nn.Sequential(_OuterMamba(width), _OuterMamba(width)) for width in widths)
        self.enlarge = nn.ModuleList(map(_Enlarge, widths))
        self.expand = nn.ModuleList(map(_Expand, widths[1:]))
        self.refine = nn.ModuleList(stage(ResidualBlock, width, width, 2) for width in widths[:-1])
        quarter = widths[0] // 4
        self.head = nn.Sequential(ConvNormAct(widths[0], quarter), nn.Dropout(0.1), nn.Conv2d(quarter, 1, 1))

    def _encode(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        words, sentences = self.word_stem(x), self.sentence_stem(x)
        levels = []
        for index, (inner, outer, enlarge) in enumerate(
            zip(self.inner, self.outer, self.enlarge, strict=True)
        ):
            if index:
                words = self.merge_words[index - 1](words)
                sentences = self.merge_sentences[index - 1](sentences)
            words, sentences = inner(words, sentences)
            sentences = outer(sentences)
            levels.append(enlarge(sentences))
        return levels

    def segment(self, image: Tensor) -> SegOutput:
        levels = self._encode(image)
        x = levels.pop()
        for expand, refine, level in zip(self.expand[::-1], self.refine[::-1], levels[::-1], strict=True):
            x = refine(expand(x) + level)
        return SegOutput(resize_to(self.head(x), image))
