"""How the parameters of published programs are called here.

A map is a sequence of tables. A key passes through all tables in turn; in each table, the first pattern that
matches part of the key replaces that part. Keys that match a ``dropped`` pattern belong to layers that the
program itself does not use; they are left out.

The names on the left are those of the authors' programs: state dicts of PyTorch, or MXNet's for the first ACM
and ALCNet.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from infraspot.weights import key_maps_contrast as contrast
from infraspot.weights import key_maps_sam as sam
from infraspot.weights.key_maps_contrast import Table


class KeyMap(NamedTuple):
    """Tables of (pattern, replacement), and what else a network needs to give the program's answers.

    Attributes
    ----------
    dropped
        Patterns of keys that are left out.
    slopes
        Pattern of the layers that read the gradient of the image, which no offset changes.
    plain
        Whether the program does not scale its three channels.
    options
        Options of the network.
    fresh
        Pattern of the network's own parts that the program's file does not hold; they keep their start.
    """

    tables: tuple[Table, ...]
    dropped: tuple[str, ...] = ()
    slopes: str = r"$^"
    plain: bool = False
    options: Mapping[str, Any] = MappingProxyType({})
    fresh: str = r"$^"


def _layers(prefix: str, ours: str, *numbers: int) -> Table:
    """A program's layers ``prefix.n`` become 0, 1, ... of ``ours``."""
    return tuple((rf"\b{prefix}\.{n}\.", f"{ours}.{k}.") for k, n in enumerate(numbers))


_FLOAT_NAMES: Table = ((r"\bgamma$", "weight"), (r"\bbeta$", "bias"))
_RESIDUAL: Table = (
    (r"\bsa\.conv1\.", "attention.1.conv."),
    (r"\bconv1\.", "body.0.0."),
    (r"\bbn1\.", "body.0.1."),
    (r"\bconv2\.", "body.2.0."),
    (r"\bbn2\.", "body.2.1."),
    (r"\b(?:downsample|shortcut)\.", "skip."),
    (r"(layer\d\.\d)\.body\.0\.", r"\1.body.0.0."),
    (r"(layer\d\.\d)\.body\.1\.", r"\1.body.0.1."),
    (r"(layer\d\.\d)\.body\.3\.", r"\1.body.2.0."),
    (r"(layer\d\.\d)\.body\.4\.", r"\1.body.2.1."),
    (r"\bca\.fc1\.", "attention.0.layers.0."),
    (r"\bca\.fc2\.", "attention.0.layers.2."),
)
_HEAD: Table = (
    (r"^head\.block\.0\.", "head.0.0."),
    (r"^head\.block\.1\.", "head.0.1."),
    (r"^head\.block\.4\.", "head.2."),
)
_STEM: Table = tuple(
    (rf"^stem\.{n}\.", f"stem.{1 + k // 2}.{k % 2}.") for k, n in enumerate((1, 2, 4, 5, 7, 8))
)
_ASYMMETRIC: Table = (
    *_layers("topdown", "top_down.layers", 1, 2),
    *((rf"\btopdown\.{n}\.", f"top_down.layers.{n - 1}.") for n in (4, 5)),
    (r"\bbottomup\.", "bottom_up.layers."),
    (r"\bpost\.", "merge."),
)

_ACM = KeyMap(
    (
        _FLOAT_NAMES,
        _STEM,
        _RESIDUAL,
        _ASYMMETRIC,
        _HEAD,
        ((r"^layer", "encode"), (r"^uplayer", "decode"), (r"^deconv", "up")),
    )
)
_ALCNET = KeyMap(
    (
        _FLOAT_NAMES,
        (
            (r"^bottomuplocal_fpn_(\d)\.bn1\.", r"fuse\1.norm_high."),
            (r"^bottomuplocal_fpn_(\d)\.bn2\.", r"fuse\1.norm_low."),
            (r"^bottomuplocal_fpn_(\d)\.bottomup_att\.", r"fuse\1.pixel.layers."),
        ),
        _STEM,
        _RESIDUAL,
        _HEAD,
        ((r"^layer", "encode"), (r"^dec_c", "reduce")),
    )
)
_ALCNET_PORT = KeyMap(
    (
        _STEM,
        _RESIDUAL,
        _ASYMMETRIC,
        _HEAD,
        ((r"^layer", "encode"), (r"^deconv", "up"), (r"^fuse23\.", "fuse2."), (r"^fuse12\.", "fuse1.")),
    ),
    (r"^uplayer",),
)
_DNANET = KeyMap(
    (
        _RESIDUAL,
        (
            (r"^conv0_4_final\.0\.", "pyramid."),
            (r"^conv0_4_1x1\.", "laterals.0."),
            (r"^conv0_3_1x1\.", "laterals.1."),
            (r"^conv0_2_1x1\.", "laterals.2."),
            (r"^conv0_1_1x1\.", "laterals.3."),
            (r"^conv(\d)_(\d)\.", r"nodes.\1\2."),
            *((rf"^final{k + 1}\.", f"heads.{k}.") for k in range(4)),
        ),
    )
)
_MSHNET = KeyMap(
    (
        _RESIDUAL,
        (
            (r"^conv_init\.", "stem."),
            (r"^middle_layer\.", "encoder.4."),
            (r"^(encoder|decoder)_", r"\1."),
            (r"^output_", "heads."),
            (r"^final\.", "fuse."),
        ),
    )
)
_UIUNET = KeyMap(
    (
        ((r"\.conv_s1\.", ".0."), (r"\.bn_s1\.", ".1.")),
        (
            (r"\brebnconvin\.", "entry."),
            (r"^(stage1d?)\.rebnconv7\.", r"\1.bottom."),
            (r"^(stage2d?)\.rebnconv6\.", r"\1.bottom."),
            (r"^(stage3d?)\.rebnconv5\.", r"\1.bottom."),
            (r"^(stage[456]d?)\.rebnconv4\.", r"\1.bottom."),
            *((rf"\brebnconv{k + 1}d\.", f"up.{k}.") for k in range(6)),
            *((rf"\brebnconv{k + 1}\.", f"down.{k}.") for k in range(6)),
            (r"\bfeature_high\.", "prepare."),
            (r"\bbottomup\.3\.conv1\.", "where.conv."),
            (r"\bbottomup\.", "squeeze."),
            *((theirs, ours.replace("top_down", "which")) for theirs, ours in _ASYMMETRIC),
        ),
        (
            *((rf"^stage{k + 1}d\.", f"decoder.{k}.") for k in range(5)),
            *((rf"^stage{k + 1}\.", f"encoder.{k}.") for k in range(6)),
            *((rf"^fuse{k + 2}\.", f"cross.{k}.") for k in range(4)),
            *((rf"^side{k + 1}\.", f"sides.{k}.") for k in range(6)),
            (r"^outconv\.", "fuse."),
        ),
    )
)
_AGPCNET = KeyMap(
    (
        ((r"^backbone\.conv1\.", "stem.0."), (r"^backbone\.bn1\.", "stem.1.")),
        ((r"^context\.conv1\.", "context.reduce."), (r"^context\.conv2\.", "context.merge.")),
        _RESIDUAL,
        _HEAD,
        (
            *((rf"^backbone\.layer{k + 1}\.", f"encode{k}.") for k in range(4)),
            (r"\bscale_list\.(\d)\.conv\.", r"blocks.\1.merge."),
            (r"\bscale_list\.", "blocks."),
            (r"^fuse23\.", "fuse2."),
            (r"^fuse12\.", "fuse1."),
        ),
        ((r"\battention\.non_local_att\.", "guide."), (r"\bnon_local\.", "local.")),
        (
            (r"\b(query|key|value)_conv\.", r"\1."),
            (r"\bplus_conv\.", "project_high."),
            (r"\bend_conv\.", "merge."),
            (r"\bpa\.", "pixel.layers."),
            *((rf"\bca\.{n + 1}\.", f"channel.layers.{n}.") for n in (0, 1, 3, 4)),
        ),
    )
)
_SCTRANSNET = KeyMap(
    (
        _RESIDUAL,
        (
            (r"^inc\.0\.", "encoder.0."),
            *((rf"^down_encoder{k}\.0\.", f"encoder.{k}.") for k in range(1, 5)),
            *((rf"^mtc\.embeddings_{k + 1}\.patch_embeddings\.", f"cross.embed.{k}.") for k in range(4)),
            *((rf"^mtc\.encoder\.encoder_norm{k + 1}\.body\.", f"cross.norms.{k}.") for k in range(4)),
            *((rf"^mtc\.reconstruct_{k + 1}\.conv\.", f"cross.restore.{k}.0.") for k in range(4)),
            *((rf"^mtc\.reconstruct_{k + 1}\.norm\.", f"cross.restore.{k}.1.") for k in range(4)),
            (r"^mtc\.encoder\.layer\.", "cross.blocks."),
            *((rf"^up_decoder{k + 1}\.", f"decoder.{k}.") for k in range(4)),
            (r"^outc\.", "heads.0."),
            *((rf"^gt_conv{k + 1}\.0\.", f"heads.{k}.") for k in range(1, 5)),
            (r"^outconv\.", "fuse."),
        ),
        (
            *((rf"\battn_norm{k + 1}\.body\.", f"norms.{k}.") for k in range(4)),
            (r"\battn_norm\.body\.", "norm_all."),
            *((rf"\bchannel_attn\.mhead{k + 1}\.", f"attention.queries.{k}.0.") for k in range(4)),
            *((rf"\bchannel_attn\.q{k + 1}\.", f"attention.queries.{k}.1.") for k in range(4)),
            *((rf"\bchannel_attn\.project_out{k + 1}\.", f"attention.projects.{k}.") for k in range(4)),
            (r"\bchannel_attn\.mheadk\.", "attention.key.0."),
            (r"\bchannel_attn\.k\.", "attention.key.1."),
            (r"\bchannel_attn\.mheadv\.", "attention.value.0."),
            (r"\bchannel_attn\.v\.", "attention.value.1."),
            *((rf"\bffn_norm{k + 1}\.body\.", f"forwards.{k}.0.") for k in range(4)),
            *((rf"\bffn{k + 1}\.", f"forwards.{k}.1.") for k in range(4)),
            (r"\bcoatt\.mlp_x\.1\.", "from_skip."),
            (r"\bcoatt\.mlp_g\.1\.", "from_below."),
            (r"\bnConvs\.(\d)\.conv\.", r"mix.\1.0."),
            (r"\bnConvs\.(\d)\.norm\.", r"mix.\1.1."),
        ),
        (
            (r"\bproject_in\.", "widen."),
            (r"\bdwconv3x3\.", "near."),
            (r"\bdwconv5x5\.", "far."),
            (r"\bproject_out\.", "narrow."),
            (r"\beca\.conv\.0\.", "gate.across."),
        ),
    ),
    (r"position_embeddings$", r"q\d_attn\d$"),
)
_MTUNET = KeyMap(
    (
        _RESIDUAL,
        (
            (r"^conv0_0\.", "encoder.0."),
            (r"^conv(\d)_0\.", r"encoder.\1."),
            (r"^conv3_1_1\.0\.", "bottom."),
            (r"^conv(\d)_\d\.0\.", r"decoder.\1."),
            *((rf"^vit{5 - k}\.", f"transformers.{k}.") for k in range(4)),
            (r"^final\.", "head."),
        ),
        (
            (r"\bprojection\.", "project."),
            (r"\btransformer\.layer_blocks\.0\.", ""),
        ),
        (
            (r"\bmulti_head_attention\.qkv_layer\.", "qkv."),
            (r"\bmulti_head_attention\.out_attention\.", "out."),
            (r"\bmlp\.mlp_layers\.", "mlp."),
            (r"\blayer_norm", "norm"),
            (r"\bcls_token$", "class_token"),
            (r"\bembedding$", "positions"),
        ),
    ),
    (r"^vit1\.", r"^head\.", r"^conv0_0_0\."),
    options={"sparse": True},
)
_HCFNET = KeyMap(
    (
        (
            *((rf"^p{k + 1}\.", f"encoder.{k}.") for k in range(5)),
            *((rf"^p{k + 6}\.", f"decoder.{3 - k}.") for k in range(4)),
            *((rf"^respath{k + 1}\.", f"skips.{k}.") for k in range(4)),
            *((rf"^up{k + 1}\.", f"up.{3 - k}.") for k in range(4)),
            (r"^out\.", "heads.0."),
            *((rf"^out{k + 1}\.", f"heads.{4 - k}.") for k in range(4)),
            *((rf"^mdcr\.block{k + 1}\.", f"bottom.groups.{k}.") for k in range(4)),
            (r"^mdcr\.out_s\.", "bottom.mix."),
            (r"^mdcr\.out\.", "bottom.merge."),
        ),
        (
            (r"\bcn\.conv\.0\.", "finish.0.across."),
            (r"\bsa\.conv2d\.", "finish.1.conv."),
            (r"\.bn1\.", ".finish.3."),
            (r"\btail_conv\.0\.conv\.", "tail."),
            (r"^(skips\.0)\.conv\.0\.conv\.", r"\1.mix."),
            (r"\bbns\.", "norm."),
            (r"\bskips\.conv\.", "own."),
            (r"\bskips_2\.conv\.", "coarser."),
            (r"\bskips_3\.", "finer."),
            *((rf"\bc{k + 1}\.", f"serial.{k}.") for k in range(3)),
            (r"\blga(\d)\.mlp1\.", r"lga\1.mlp.0."),
            (r"\blga(\d)\.norm\.", r"lga\1.mlp.1."),
            (r"\blga(\d)\.mlp2\.", r"lga\1.mlp.2."),
            (r"\blga(\d)\.conv\.", r"lga\1.project."),
            (r"\btop_down_transform$", "transform"),
        ),
        ((r"\blga2\.", "patches.0."), (r"\blga4\.", "patches.1.")),
        (
            (r"(serial\.\d|groups\.\d|skip|mix|merge)\.conv\.", r"\1.0."),
            (r"(serial\.\d|groups\.\d|skip|mix|merge)\.norm\.", r"\1.1."),
        ),
    ),
    (r"^respath1\.skips_3\.", r"^respath[234]\.conv\."),
)
_MRF3NET = KeyMap(
    (
        (
            (r"\bact\.weight$", "around.0.weight"),
            (r"\bact\.bn\.", "around.1."),
            (r"\bconv_fusion\.", "merge.0."),
            (r"\bbatch_norm\.", "merge.1."),
            (
                r"(Backbone_\d|Conv|final(?:_edge)?\.0|seg\.0|modify_\w+|conv_(?:sum|final|concat))\.conv\.",
                r"\1.conv.0.",
            ),
            (
                r"(Backbone_\d|Conv|final(?:_edge)?\.0|seg\.0|modify_\w+|conv_(?:sum|final|concat))\.bn\.",
                r"\1.conv.1.",
            ),
            (r"(conv_block(?:_low|_high)?\.0)\.conv\.", r"\1.conv.0."),
            (r"(conv_block(?:_low|_high)?\.0)\.bn\.", r"\1.conv.1."),
            *((rf"\bConv_{2 * k + 3}\.", f"groups.{k}.") for k in range(3)),
            (r"\bse\.fc\.", "gate.layers."),
        ),
        (
            (r"^Backbone_0\.", "encode0."),
            (r"^Backbone_(\d)\.downsample\.", r"encode\1.1."),
            (r"^Backbone_(\d)\.", r"encode\1.0."),
            (r"^MPE_(\d)\.Conv\.", r"refine.\1.merge."),
            (r"^MPE_", "refine."),
            (r"^FFE_", "meet"),
            (r"^FFD_final\.", "join0."),
            (r"^FFD_", "join"),
            (r"^final\.", "head."),
            (r"^final_edge\.", "edge."),
            (r"^seg_head_(\d)\.seg\.", r"aux\1."),
        ),
        (
            (r"\bdownsample\.", "cut."),
            (r"\bconv_block_low\.", "guesses.0."),
            (r"\bconv_block_high\.", "guesses.1."),
            (r"\bconv_block\.", "where."),
            (r"\bmodify_", ""),
            (r"\bconv_sum\.", "merge."),
            (r"\bconv_spatial\.0\.", "place."),
            (r"\bconv_channel\.0\.", "channel."),
            (r"\bconv_final\.", "finish."),
            (r"\bconv_concat\.", "join."),
        ),
    ),
    (r"\.final_attention\.", r"^seg_head_\d\.edge\.", r"^MPE_\d\.Conv_1\."),
)

_RPCANET = KeyMap(
    (
        ((r"^decos\.", "stages."),),
        (
            (r"\.lowrank\.convs\.", ".background."),
            (r"\.merge\.mapping\.", ".merge."),
            (r"\.sparse\.convs\.", ".target."),
            (r"\.sparse\.epsilon$", ".step"),
        ),
        (
            *(
                (rf"\.(background|merge)\.{n}\.", rf".\1.{n // 3}.{n % 3}.")
                for n in (0, 1, 3, 4, 6, 7, 9, 10)
            ),
            (r"\.(background|merge)\.12\.", r".\1.4."),
        ),
    ),
    plain=True,
)

KEY_MAPS: dict[str, KeyMap] = {
    "acm": _ACM,
    "acm-port": _ACM,
    "agpcnet": _AGPCNET,
    "alclnet": KeyMap(contrast.ALCLNET),
    "alcnet": _ALCNET,
    "alcnet-port": _ALCNET_PORT,
    "dnanet": _DNANET,
    "gglnet": KeyMap(contrast.GGLNET, slopes=r"^guides\."),
    "hcfnet": _HCFNET,
    "irsam": KeyMap(sam.TABLES, sam.DROPPED, fresh=sam.FRESH),
    "isnet": KeyMap(
        contrast.ISNET,
        (r"^(res\d|d\d|cw|gate\d|SA\w*|head2|conv\d+\w*|grad_extractor)\.",),
        slopes="^edge_entry$",
    ),
    "mlclnet": KeyMap(contrast.MLCLNET),
    "mrf3net": _MRF3NET,
    "msdanet": KeyMap(contrast.MSDANET, (r"DWT_2D", r"^mlcl\d\.conv_res\."), plain=True),
    "mshnet": _MSHNET,
    "mtunet": _MTUNET,
    "rpcanet": _RPCANET,
    "sctransnet": _SCTRANSNET,
    "uiunet": _UIUNET,
}
