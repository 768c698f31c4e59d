"""How the parameters of the local contrast family's programs are called here, as in
:mod:`infraspot.weights.key_maps`: MLCLNet, ALCLNet, GGLNet, MSDANet and, of the same collection, ISNet."""

Table = tuple[tuple[str, str], ...]

_LEVELS = range(1, 6)
_BLOCKS = (1, 2, 3)


def _numbered(theirs: str, ours: str, numbers: range | tuple[int, ...] = _LEVELS) -> Table:
    """A program counts from 1: ``theirs`` and ``ours`` hold {} where the number goes."""
    return tuple((theirs.format(n), ours.format(n - 1)) for n in numbers)


def _pair(theirs: str, ours: str) -> Table:
    """Convolution, norm, ReLU, convolution and norm of one sequence, two of ours."""
    return (
        (rf"{theirs}\.([01])\.", rf"{ours}.0.\1."),
        (rf"{theirs}\.3\.", f"{ours}.1.0."),
        (rf"{theirs}\.4\.", f"{ours}.1.1."),
    )


def _encoder(stem: str, levels: str) -> Table:
    named = (_numbered(rf"^stage\.resnet{{}}_{block}\.", f"{levels}.{{}}.{block - 1}.") for block in _BLOCKS)
    return (*_pair(r"^stage\.layer1", stem), *(pair for table in named for pair in table))


_POOLED: Table = (
    (r"\blayer1\.([01])\.", r"body.0.\1."),
    (r"\blayer1\.4\.", "body.2.0."),
    (r"\blayer1\.5\.", "body.2.1."),
    (r"\blayer2\.([01])\.", r"skip.\1."),
)
_RESIDUAL: Table = (*_POOLED, *_pair(r"\blayer", "body"))
_HEAD: Table = ((r"^layer\.", "head."),)
_PARTS: Table = (
    *_numbered(r"^m?lcl{}\.", "contrast.{}."),
    *_numbered(r"^sbam{}\.", "fusion.{}."),
    *_HEAD,
)
_FUSION: Table = (
    (r"^(contrast\.\d)\.layer1\.", r"\1.layers."),
    (r"\bhl_layer\.1\.", "project_high.0."),
    (r"\bhl_layer\.2\.", "project_high.1."),
    (r"\bhl_layer_2\.se\.", "channel.layers."),
    (r"\bll_layer\.conv\.", "spatial.conv."),
    (r"\bll_layer\.", "pixel."),
)

_FREQUENCIES: Table = (
    (r"\bFrequencyAttention\.LH_reduce\.", "body.1.down."),
    (r"\bFrequencyAttention\.HL_reduce\.", "body.1.across."),
    (r"\bFrequencyAttention\.HH_reduce\.", "body.1.diagonal."),
    (r"\bFrequencyAttention\.LL_reduce\.", "body.1.mean."),
    (r"\bFrequencyAttention\.conv_res\.", "body.1.merge."),
)

MLCLNET = (
    (*_encoder("encoder.stem", "encoder.levels"), *_numbered(r"^conv{}\.0\.", "lateral.{}."), *_PARTS),
    (
        *_numbered(r"^(contrast\.\d)\.layer{}\.", r"\1.branches.{}.layers.", _BLOCKS),
        (r"^(contrast\.\d)\.conv\.", r"\1.merge."),
        *_RESIDUAL,
    ),
)
ALCLNET = ((*_encoder("encoder.stem", "encoder.levels"), *_PARTS), (*_FUSION, *_RESIDUAL))
GGLNET = (
    (
        *_encoder("stem", "levels"),
        *_numbered(r"^stage\.Res{}\.layer1\.", "guides.{}.raise_."),
        *_numbered(r"^stage\.Res{}\.layer2\.", "guides.{}.join."),
        *_PARTS,
    ),
    (
        (r"\b(raise_|join)\.([01])\.", r"\1.0.\2."),
        (r"\b(raise_|join)\.3\.fc\.", r"\1.1.layers."),
        (r"\b(raise_|join)\.4\.", r"\1.2.0."),
        (r"\b(raise_|join)\.5\.", r"\1.2.1."),
        (r"^(levels\.\d\.[12])\.layer1\.", r"\1.body.0."),
        (r"^(levels\.\d\.[12])\.SEAttention\.fc\.", r"\1.body.1.layers."),
        (r"^(levels\.\d\.[12])\.layer2\.", r"\1.body.2."),
        *_FUSION,
        *_RESIDUAL,
    ),
)
MSDANET = (
    (
        *_pair(r"^stage\.layer1", "stem"),
        *_numbered(r"^stage\.resnet{}_1\.", "entries.{}."),
        *_numbered(r"^stage\.resnet{}_2\.", "blocks.{}.0."),
        *_numbered(r"^stage\.resnet{}_3\.", "blocks.{}.1."),
        *_numbered(r"^stage\.layer{}_4\.\d\.", "summaries.{}.1.", range(1, 5)),
        (r"^stage\.layer5_4\.", "deepest."),
        *_PARTS,
    ),
    (
        *((rf"^(blocks.*|contrast.*)\bbranch{k}\.", rf"\1branches.{k}.") for k in range(4)),
        (r"\bconv_cat\.", "merge."),
        *_FREQUENCIES,
        (r"\bSEAttention\.fc\.", "body.2.layers."),
        (r"^(blocks\.\d\.\d)\.conv_res\.", r"\1.body.3."),
        *((rf"\bconcat_layer{a}", f"correct{b}") for a, b in _pair("", "")),
        (r"\bhl_layer\.", "project."),
        *_RESIDUAL,
    ),
    ((r"^(blocks\.\d\.\d)\.(branches|merge)\.", r"\1.body.0.\2."),),
    ((r"\bbranches\.0\.0\.", "branches.0."),),
    (
        (r"\b(merge|branches\.\d|branches\.\d\.\d|body\.3)\.conv\.", r"\1.0."),
        (r"\.bn\.", ".1."),
    ),
)
ISNET = (
    (
        *((rf"^stem\.{n}\.", f"stem.{1 + k // 2}.{k % 2}.") for k, n in enumerate((1, 2, 4, 5, 7, 8))),
        (r"^layer(\d)\.", r"down\1."),
        (r"^uplayer(\d)\.", r"up\1."),
        (r"^deconv(\d)\.", r"enlarge\1."),
        (r"^TTOA_low\.", "fusion2."),
        (r"^TTOA_high\.", "fusion1."),
        *_numbered(r"^dsn{}\.", "sides.{}.", _BLOCKS),
        (r"^dsup\.", "edge_entry."),
        *_numbered(r"^myb{}\.", "taylor.{}.", _BLOCKS),
        (r"^fuse\.", "edge_exit."),
        (r"^head\.block\.([01])\.", r"head.0.\1."),
        (r"^head\.block\.4\.", "head.2."),
    ),
    (
        (r"\bbody\.([01])\.", r"body.0.\1."),
        (r"\bbody\.3\.", "body.2.0."),
        (r"\bbody\.4\.", "body.2.1."),
        (r"\bdownsample\.", "skip."),
        (r"\bpreprocess\.", "prepare."),
        (r"\bdcn_row\.", "row."),
        (r"\bdcn_colum\.", "column."),
        (r"\bgate\._gate_conv\.", "gate.weights."),
        (r"\bgate\.weight$", "gate.mix.weight"),
        (r"\bres1\.", "first."),
        (r"\bres2\.", "second."),
    ),
    (
        (r"\bconv_offset_mask\.", "move."),
        *((rf"\bconv{k}\.", f"{k - 1}.0.") for k in (1, 2)),
        *((rf"\bbn{k}\.", f"{k - 1}.1.") for k in (1, 2)),
    ),
)
