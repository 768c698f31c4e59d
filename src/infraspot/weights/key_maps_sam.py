"""How the parameters of MobileSAM's program are called here, as in :mod:`infraspot.weights.key_maps`."""

from infraspot.weights.key_maps_contrast import Table

_PARTS: Table = (
    (r"^image_encoder\.patch_embed\.seq\.", "encoder.stem."),
    (r"^image_encoder\.layers\.(\d)\.blocks\.", r"encoder.stages.\1."),
    (r"^image_encoder\.layers\.(\d)\.downsample\.", r"encoder.merges.\1."),
    (r"^image_encoder\.neck\.", "encoder.neck."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "decoder.frequencies"),
    (r"^prompt_encoder\.no_mask_embed\.weight$", "no_prompt"),
    (r"^mask_decoder\.iou_token\.weight$", "quality_token"),
    (r"^mask_decoder\.mask_tokens\.weight$", "mask_tokens"),
    (r"^mask_decoder\.transformer\.layers\.", "decoder.layers."),
    (r"^mask_decoder\.transformer\.final_attn_token_to_image\.", "decoder.last."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "decoder.last_norm."),
    (r"^mask_decoder\.output_upscaling\.", "enlarge."),
    *(
        (rf"^mask_decoder\.output_hypernetworks_mlps\.0\.layers\.{n}\.", f"mask_head.{2 * n}.")
        for n in range(3)
    ),
)
_LAYERS: Table = (
    (r"\bconv1\.", "expand."),
    (r"\bconv2\.", "spread."),
    (r"\bconv3\.", "project."),
    (r"\blocal_conv\.", "local."),
    (r"\battn\.attention_biases$", "attention.biases"),
    (r"\battn\.proj\.", "attention.project."),
    (r"\battn\.", "attention."),
    (r"\bmlp\.norm\.", "mlp.0."),
    (r"\bmlp\.fc1\.", "mlp.1."),
    (r"\bmlp\.fc2\.", "mlp.3."),
    (r"\bmlp\.lin1\.", "mlp.0."),
    (r"\bmlp\.lin2\.", "mlp.2."),
    (r"\bself_attn\.", "among."),
    (r"\bcross_attn_token_to_image\.", "to_image."),
    (r"\bcross_attn_image_to_token\.", "to_tokens."),
    *((rf"(decoder\.layers\.\d)\.norm{n}\.", rf"\1.norms.{n - 1}.") for n in range(1, 5)),
)
_LEAVES: Table = (
    (r"\.c\.(weight)$", r".0.\1"),
    (r"\.bn\.(\w+)$", r".1.\1"),
    (r"\bq_proj\.", "query."),
    (r"\bk_proj\.", "key."),
    (r"\bv_proj\.", "value."),
    (r"\bout_proj\.", "project."),
)

TABLES: tuple[Table, ...] = (_PARTS, _LAYERS, _LEAVES)

DROPPED = (
    r"^image_encoder\.(norm_head|head)\.",
    r"\battention_bias_idxs$",
    r"\.ab$",
    r"^prompt_encoder\.(point_embeddings|not_a_point_embed|mask_downscaling)\b",
    r"^mask_decoder\.(output_hypernetworks_mlps\.[123]|iou_prediction_head)\.",
)

FRESH = r"^(edge_|encoder\.extras\.)"
