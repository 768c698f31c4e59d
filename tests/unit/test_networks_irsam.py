"""IRSAM: its diffusion, its window attention, and the names of MobileSAM's public weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from infraspot.blocks.perona_malik import WaveletPeronaMalik
from infraspot.blocks.tiny_vit import _BiasedAttention
from infraspot.core.errors import DataError, UsageError
from infraspot.networks.irsam import IRSAM
from infraspot.weights.convert import convert_state


def _block(tau: float, k: float = 1.0) -> WaveletPeronaMalik:
    block = WaveletPeronaMalik(1)
    with torch.no_grad():
        block.tau.fill_(tau)
        block.log_k.fill_(np.log(k))
    return block


@torch.no_grad()
def test_diffusion_is_the_adjoint_of_the_bands_times_what_passes_of_them() -> None:
    x = torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    signs = [np.array(s) for s in ([[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]])]
    windows = []
    for top in range(2):
        for left in range(3):
            rows = np.zeros((3, 3, 4))
            for band, sign in enumerate(signs):
                rows[band, top : top + 2, left : left + 2] = sign / 2
            windows.append(rows.reshape(3, 12))
    flat = x.numpy().ravel()
    expected = flat.copy()
    for rows in windows:
        bands = rows @ flat
        expected -= 0.3 * rows.T @ (bands / (1 + (bands**2).sum() / 0.5**2))
    assert np.allclose(_block(0.3, 0.5)(x).numpy().ravel(), expected, atol=1e-6)


@torch.no_grad()
def test_diffusion_begins_as_the_identity_keeps_sums_and_spares_edges() -> None:
    generator = torch.Generator().manual_seed(1)
    x = 0.1 * torch.randn(1, 1, 20, 20, generator=generator)
    assert torch.equal(_block(0.0)(x), x)
    smoothed = _block(0.25)(x)
    assert float(smoothed.sum()) == pytest.approx(float(x.sum()), abs=1e-4)
    assert smoothed.std() < 0.9 * x.std()
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 100.0
    assert float((_block(0.25)(edge) - edge).abs().max()) < 0.01


@torch.no_grad()
def test_the_bias_of_attention_belongs_to_the_distance_of_two_places() -> None:
    attention = _BiasedAttention(4, 2, 3)
    assert attention.index.shape == (9, 9)
    # Places 1 = (0, 1) and 8 = (2, 2) are 2 rows and 1 column apart.
    assert int(attention.index[1, 8]) == int(attention.index[8, 1]) == 2 * 3 + 1
    assert attention.index.diagonal().eq(0).all()


def mobile_sam_state() -> dict[str, Tensor]:
    """Tensors with the names and shapes that the public file has."""
    shapes: dict[str, tuple[int, ...]] = {}

    def normed(name: str, out: int, inner: int, side: int) -> None:
        shapes[f"{name}.c.weight"] = (out, inner, side, side)
        shapes.update({f"{name}.bn.{k}": (out,) for k in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.bn.num_batches_tracked"] = ()

    def linear(name: str, out: int, inner: int) -> None:
        shapes.update({f"{name}.weight": (out, inner), f"{name}.bias": (out,)})

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    encoder = "image_encoder"
    normed(f"{encoder}.patch_embed.seq.0", 32, 3, 3)
    normed(f"{encoder}.patch_embed.seq.2", 64, 32, 3)
    stages = zip((64, 128, 160, 320), (2, 2, 6, 2), (0, 4, 5, 10), (0, 7, 14, 7), strict=True)
    for stage, (width, depth, heads, window) in enumerate(stages):
        for k in range(depth):
            block = f"{encoder}.layers.{stage}.blocks.{k}"
            if stage == 0:
                normed(f"{block}.conv1", 256, 64, 1)
                normed(f"{block}.conv2", 256, 1, 3)
                normed(f"{block}.conv3", 64, 256, 1)
                continue
            shapes[f"{block}.attn.attention_biases"] = (heads, window * window)
            norm(f"{block}.attn.norm", width)
            linear(f"{block}.attn.qkv", 3 * width, width)
            linear(f"{block}.attn.proj", width, width)
            norm(f"{block}.mlp.norm", width)
            linear(f"{block}.mlp.fc1", 4 * width, width)
            linear(f"{block}.mlp.fc2", width, 4 * width)
            normed(f"{block}.local_conv", width, 1, 3)
        if stage < 3:
            after = (128, 160, 320)[stage]
            normed(f"{encoder}.layers.{stage}.downsample.conv1", after, width, 1)
            normed(f"{encoder}.layers.{stage}.downsample.conv2", after, 1, 3)
            normed(f"{encoder}.layers.{stage}.downsample.conv3", after, after, 1)
    norm(f"{encoder}.norm_head", 320)
    linear(f"{encoder}.head", 1000, 320)
    shapes[f"{encoder}.neck.0.weight"], shapes[f"{encoder}.neck.2.weight"] = (
        (256, 320, 1, 1),
        (256, 256, 3, 3),
    )
    norm(f"{encoder}.neck.1", 256)
    norm(f"{encoder}.neck.3", 256)
    prompt = "prompt_encoder"
    shapes[f"{prompt}.pe_layer.positional_encoding_gaussian_matrix"] = (2, 128)
    for name in ("no_mask_embed", "not_a_point_embed", *(f"point_embeddings.{k}" for k in range(4))):
        shapes[f"{prompt}.{name}.weight"] = (1, 256)
    shapes[f"{prompt}.mask_downscaling.0.weight"] = (4, 1, 2, 2)
    decoder = "mask_decoder"
    layers = [f"{decoder}.transformer.layers.{k}" for k in range(2)]
    halves = [f"{layer}.cross_attn_{way}" for layer in layers for way in ("token_to_image", "image_to_token")]
    halves.append(f"{decoder}.transformer.final_attn_token_to_image")
    for name, inner in [
        *((half, 128) for half in halves),
        *((f"{layer}.self_attn", 256) for layer in layers),
    ]:
        for part in ("q_proj", "k_proj", "v_proj"):
            linear(f"{name}.{part}", inner, 256)
        linear(f"{name}.out_proj", 256, inner)
    for layer in layers:
        linear(f"{layer}.mlp.lin1", 2048, 256)
        linear(f"{layer}.mlp.lin2", 256, 2048)
        for k in range(1, 5):
            norm(f"{layer}.norm{k}", 256)
    norm(f"{decoder}.transformer.norm_final_attn", 256)
    shapes[f"{decoder}.iou_token.weight"], shapes[f"{decoder}.mask_tokens.weight"] = (1, 256), (4, 256)
    shapes[f"{decoder}.output_upscaling.0.weight"] = (256, 64, 2, 2)
    shapes[f"{decoder}.output_upscaling.0.bias"] = (64,)
    norm(f"{decoder}.output_upscaling.1", 64)
    shapes[f"{decoder}.output_upscaling.3.weight"] = (64, 32, 2, 2)
    shapes[f"{decoder}.output_upscaling.3.bias"] = (32,)
    for name in (*(f"output_hypernetworks_mlps.{k}" for k in range(4)), "iou_prediction_head"):
        for k, (out, inner) in enumerate(((256, 256), (256, 256), (32 if "hyper" in name else 4, 256))):
            linear(f"{decoder}.{name}.layers.{k}", out, inner)
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.zeros((), dtype=torch.long) if not shape else torch.rand(shape, generator=generator) + 0.5
        for key, shape in shapes.items()
    }


def test_every_name_of_the_public_file_has_its_place_and_new_parts_keep_their_start() -> None:
    torch.manual_seed(0)
    network, state = IRSAM(), mobile_sam_state()
    # What the decoder of the public file has, and what its encoder has, without its classifier.
    assert sum(v.numel() for k, v in state.items() if ".head." not in k and "norm_head" not in k) > 9.4e6
    converted = convert_state(state, "irsam", network)
    block, place = "encoder.stages.2.5.mlp.3.weight", "image_encoder.layers.2.blocks.5.mlp.fc2.weight"
    assert torch.equal(converted[block], state[place])
    assert torch.equal(
        converted["decoder.layers.1.to_tokens.value.weight"],
        state["mask_decoder.transformer.layers.1.cross_attn_image_to_token.v_proj.weight"],
    )
    for key in ("edge_token", "edge_head.0.weight", "encoder.extras.1.tau"):
        assert torch.equal(converted[key], network.state_dict()[key])
    network.load_state_dict(converted)


def test_a_file_that_lacks_a_part_or_has_one_more_is_refused_with_its_name() -> None:
    state = mobile_sam_state()
    del state["image_encoder.neck.0.weight"]
    with pytest.raises(DataError, match=r"not the weights of irsam; missing keys: encoder\.neck\.0\.weight"):
        convert_state(state, "irsam", IRSAM())
    with pytest.raises(DataError, match="keys without a place: surprise"):
        convert_state(mobile_sam_state() | {"surprise": torch.zeros(2)}, "irsam", IRSAM())
    with pytest.raises(UsageError, match="scale=9"):
        IRSAM(scale=9)


@torch.no_grad()
def test_an_edge_that_is_sure_doubles_the_mask() -> None:
    torch.manual_seed(0)
    network = IRSAM(scale=1).eval()
    frame = torch.rand(1, 1, 32, 32)
    last = network.edge_head[-1]
    last.weight.zero_()
    last.bias.zero_()  # no edge: sigmoid 0.5
    half = network(frame)
    assert torch.equal(half.edge, torch.zeros_like(half.edge))
    network.edge_features.weight.zero_()
    network.edge_features.bias.fill_(1e4)
    last.bias.fill_(1.0)
    torch.testing.assert_close(network(frame).logits, half.logits * 2 / 1.5)
