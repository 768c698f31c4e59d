"""Laws that every registered block obeys, whatever it computes."""

import warnings
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from infraspot.blocks.attention import ATTENTION
from infraspot.blocks.context import CONTEXT, CrossLayerContext
from infraspot.blocks.deformable import DeformableConv2d
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.blocks.pyramid import PYRAMID

WIDTH, WIDE = 16, 32
EVEN, ODD, TINY = (16, 16), (13, 18), (5, 7)

Inputs = Callable[[int, tuple[int, int]], tuple[Tensor, ...]]


def one_map(count: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    return (torch.randn(count, WIDTH, *size),)


def two_levels(count: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    coarse = tuple(-(-length // 2) for length in size)
    return torch.randn(count, WIDTH, *size), torch.randn(count, WIDE, *coarse)


def level_and_finer(count: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    finer = tuple(2 * length for length in size)
    return torch.randn(count, WIDTH, *size), torch.randn(count, WIDE, *finer)


def _context(make: Callable[..., nn.Module]) -> tuple[Callable[[], nn.Module], Inputs, int]:
    if isinstance(make, type) and issubclass(make, CrossLayerContext):
        return partial(make, WIDTH, WIDE), level_and_finer, WIDTH
    return partial(make, WIDTH), one_map, WIDTH


BLOCKS: dict[str, tuple[Callable[[], nn.Module], Inputs, int]] = {
    **{f"attention-{key}": (partial(make, WIDTH), one_map, WIDTH) for key, make in ATTENTION.items()},
    **{f"context-{key}": _context(make) for key, make in CONTEXT.items()},
    **{f"pyramid-{key}": (partial(make, WIDTH, WIDE), one_map, WIDE) for key, make in PYRAMID.items()},
    **{f"local-{key}": (partial(make, WIDTH, WIDE), one_map, WIDE) for key, make in LOCAL.items()},
    **{f"local-same-{key}": (partial(make, WIDTH, WIDTH), one_map, WIDTH) for key, make in LOCAL.items()},
    **{
        f"fusion-{key}": (partial(make, WIDTH, WIDE, WIDTH), two_levels, WIDTH)
        for key, make in FUSION.items()
    },
    "deformable": (partial(DeformableConv2d, WIDTH, WIDE), one_map, WIDE),
}

every_block = pytest.mark.parametrize("name", BLOCKS)


def build(name: str) -> tuple[nn.Module, Inputs, int]:
    """A block away from its initial values: learnt scales start at 0 and would hide what they scale."""
    torch.manual_seed(7)
    make, inputs, width = BLOCKS[name]
    block = make()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return block, inputs, width


@every_block
@pytest.mark.parametrize("size", [EVEN, ODD, TINY], ids=["even", "odd", "tiny"])
def test_a_block_keeps_the_size_and_gives_the_width_asked_for(name: str, size: tuple[int, int]) -> None:
    block, inputs, width = build(name)
    out = block(*inputs(2, size))
    assert out.shape == (2, width, *size)
    assert out.isfinite().all()


@every_block
def test_every_parameter_and_every_input_gets_a_gradient(name: str) -> None:
    block, inputs, _ = build(name)
    maps = [map_.requires_grad_() for map_ in inputs(4, EVEN)]
    out = block(*maps)
    (out * torch.randn_like(out)).sum().backward()
    still = [key for key, parameter in block.named_parameters() if not _moved(parameter)]
    assert not still
    assert all(_moved(map_) for map_ in maps)


def _moved(tensor: Tensor) -> bool:
    return tensor.grad is not None and bool(tensor.grad.isfinite().all()) and bool(tensor.grad.any())


@every_block
def test_in_evaluation_an_image_does_not_see_its_batch(name: str) -> None:
    block, inputs, _ = build(name)
    block.eval()
    maps = inputs(3, ODD)
    with torch.no_grad():
        together = block(*maps)
        alone = block(*(map_[1:2] for map_ in maps))
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@every_block
def test_the_same_input_gives_the_same_output(name: str) -> None:
    block, inputs, _ = build(name)
    block.eval()
    maps = inputs(2, ODD)
    copies = [map_.clone() for map_ in maps]
    with torch.no_grad():
        assert torch.equal(block(*maps), block(*maps))
    assert all(torch.equal(map_, copy) for map_, copy in zip(maps, copies, strict=True)), "input changed"


@every_block
def test_a_block_is_finite_in_half_precision_and_in_channels_last(name: str) -> None:
    block, inputs, _ = build(name)
    maps = inputs(2, EVEN)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert block(*maps).isfinite().all()
    block.eval()
    with torch.no_grad():
        plain = block(*maps)
        last = block.to(memory_format=torch.channels_last)(
            *(map_.contiguous(memory_format=torch.channels_last) for map_ in maps)
        )
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-5)


EXPORTED = [
    "attention-cbam",
    "attention-multi-head",
    "attention-patch-spatial",
    "context-agcb",
    "context-cfar",
    "context-cgmlp",
    "context-dpc",
    "context-haa",
    "context-nlppm",
    "context-sfm",
    "deformable",
    "fusion-acm",
    "fusion-cfm",
    "fusion-ocdf",
    "fusion-tcfm",
    "local-cae",
    "local-ddc",
    "local-embedded-unet",
    "local-otc",
    "local-piam",
    "local-sctb",
    "local-swin-lca",
    "local-tcia",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_block_gives_the_same_answer(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    block, inputs, _ = build(name)
    block.eval()
    maps = inputs(1, EVEN)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = block(*maps)
        program = torch.onnx.export(block, maps, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    feeds = {slot.name: map_.numpy() for slot, map_ in zip(session.get_inputs(), maps, strict=True)}
    torch.testing.assert_close(torch.from_numpy(session.run(None, feeds)[0]), expected, rtol=1e-3, atol=1e-4)
