"""How libraries call the tensors of vision transformers."""

from __future__ import annotations

import functools

import numpy as np

from tladapt.models.weights.table import Rule, Table, conv, layer_norm, linear

_BLOCK = r"blocks/\1"


def _rows(x: np.ndarray) -> np.ndarray:
    """Return `[1, tokens, d]` as `[tokens, d]`; more than one row does not fit."""
    return x.reshape(x.shape[-2:])


def _columns(x: np.ndarray) -> np.ndarray:
    """Return `[d, heads, d / heads]` as `[d, d]`."""
    return x.reshape(len(x), -1)


def _lines(x: np.ndarray) -> np.ndarray:
    """Return `[heads, d / heads, d]` as `[d, d]`."""
    return x.reshape(-1, x.shape[-1])


def _fused(weight: str, bias: str, path: str) -> list[Rule]:
    """Return the rules of one projection to queries, keys and values, a third each."""
    parts = ("query", "key", "value")
    return [
        *(Rule(weight, f"{path}/{part}/kernel", part) for part in parts),
        *(Rule(bias, f"{path}/{part}/bias", part) for part in parts),
    ]


def _split(pattern: str, path: str, names: tuple[str, str, str]) -> list[Rule]:
    """Return the rules of three projections, to queries, keys and values."""
    ours = ("query", "key", "value")
    return [rule for part, name in zip(ours, names, strict=True) for rule in linear(pattern + name, f"{path}/{part}")]


def _tokens(class_token: str, positions: str) -> list[Rule]:
    return [Rule(class_token, "class_token", "flat"), Rule(positions, "positions", _rows)]


def _timm(projects: bool) -> Table:
    block = r"blocks\.(\d+)"
    rules = [
        *_tokens("cls_token", "pos_embed"),
        Rule("dist_token", "distillation_token", "flat"),
        *conv(r"patch_embed\.proj", "patch_embed"),
        *layer_norm("norm_pre", "pre_norm"),
        *layer_norm(rf"{block}\.(norm[12])", rf"{_BLOCK}/\2"),
        *_fused(rf"{block}\.attn\.qkv\.weight", rf"{block}\.attn\.qkv\.bias", rf"{_BLOCK}/attention"),
        *linear(rf"{block}\.attn\.proj", rf"{_BLOCK}/attention/out"),
        *linear(rf"{block}\.mlp\.(fc[12])", rf"{_BLOCK}/\2"),
        Rule(rf"{block}\.ls([12])\.gamma", rf"{_BLOCK}/scale\2"),
        *layer_norm("norm", "norm"),
    ]
    drop = ["mask_token"]
    if projects:
        rules.append(Rule(r"head\.weight", "projection/kernel", "linear"))
        drop.append(r"head\.bias")  # timm adds one, of zeros, to the projection of CLIP, which has none
        return Table("timm", tuple(rules), drop=tuple(drop))
    return Table("timm", tuple(rules), (*linear("head"), *linear("head_dist", "distilled")), drop=tuple(drop))


def _transformers() -> Table:
    """ViT, DeiT and DINOv2 there, under the names of files at the hub and of version 5."""
    model = r"(?:(?:vit|deit|dinov2)\.)?"
    block = rf"{model}(?:encoder\.)?layers?\.(\d+)"
    attention = rf"{block}\.attention\.(?:attention\.)?"
    rules = [
        *_tokens(rf"{model}embeddings\.cls_token", rf"{model}embeddings\.position_embeddings"),
        Rule(rf"{model}embeddings\.distillation_token", "distillation_token", "flat"),
        *conv(rf"{model}embeddings\.patch_embeddings\.projection", "patch_embed"),
        *layer_norm(rf"{block}\.(?:layernorm_before|norm1)", f"{_BLOCK}/norm1"),
        *_split(attention, f"{_BLOCK}/attention", ("query", "key", "value")),
        *_split(attention, f"{_BLOCK}/attention", ("q_proj", "k_proj", "v_proj")),
        *linear(rf"{block}\.attention\.(?:output\.dense|o_proj)", f"{_BLOCK}/attention/out"),
        *layer_norm(rf"{block}\.(?:layernorm_after|norm2)", f"{_BLOCK}/norm2"),
        *linear(rf"{block}\.(?:intermediate\.dense|mlp\.fc1)", f"{_BLOCK}/fc1"),
        *linear(rf"{block}\.(?:output\.dense|mlp\.fc2)", f"{_BLOCK}/fc2"),
        Rule(rf"{block}\.layer_scale([12])\.lambda1", rf"{_BLOCK}/scale\2"),
        *layer_norm(rf"{model}layernorm", "norm"),
    ]
    classifier = (*linear("(?:cls_)?classifier"), *linear("distillation_classifier", "distilled"))
    drop = (rf"{model}pooler\..*", rf"{model}embeddings\.mask_token")
    return Table("transformers", tuple(rules), classifier, drop=drop)


def _torchvision() -> Table:
    block = r"encoder\.layers\.encoder_layer_(\d+)"
    attention = rf"{block}\.self_attention"
    rules = [
        *_tokens("class_token", r"encoder\.pos_embedding"),
        *conv("conv_proj", "patch_embed"),
        *layer_norm(rf"{block}\.ln_([12])", rf"{_BLOCK}/norm\2"),
        *_fused(rf"{attention}\.in_proj_weight", rf"{attention}\.in_proj_bias", rf"{_BLOCK}/attention"),
        *linear(rf"{attention}\.out_proj", rf"{_BLOCK}/attention/out"),
        *linear(rf"{block}\.mlp\.(?:0|linear_1)", f"{_BLOCK}/fc1"),
        *linear(rf"{block}\.mlp\.(?:3|linear_2)", f"{_BLOCK}/fc2"),
        *layer_norm(r"encoder\.ln", "norm"),
    ]
    return Table("torchvision", tuple(rules), tuple(linear(r"heads\.head")))


def _vit_jax() -> Table:
    """The authors' own, as in their .npz files: parts are joined by slashes, heads have an axis of their own."""
    block = r"Transformer/encoderblock_(\d+)"
    attention = rf"{block}/MultiHeadDotProductAttention_1"
    rules = [
        *_tokens("cls", "Transformer/posembed_input/pos_embedding"),
        Rule("embedding/(kernel|bias)", r"patch_embed/\1"),
        Rule(rf"{block}/LayerNorm_0/(scale|bias)", rf"{_BLOCK}/norm1/\2"),
        Rule(rf"{attention}/(query|key|value)/kernel", rf"{_BLOCK}/attention/\2/kernel", _columns),
        Rule(rf"{attention}/(query|key|value)/bias", rf"{_BLOCK}/attention/\2/bias", "flat"),
        Rule(rf"{attention}/out/kernel", rf"{_BLOCK}/attention/out/kernel", _lines),
        Rule(rf"{attention}/out/bias", rf"{_BLOCK}/attention/out/bias"),
        Rule(rf"{block}/LayerNorm_2/(scale|bias)", rf"{_BLOCK}/norm2/\2"),
        Rule(rf"{block}/MlpBlock_3/Dense_0/(kernel|bias)", rf"{_BLOCK}/fc1/\2"),
        Rule(rf"{block}/MlpBlock_3/Dense_1/(kernel|bias)", rf"{_BLOCK}/fc2/\2"),
        Rule("Transformer/encoder_norm/(scale|bias)", r"norm/\1"),
    ]
    return Table("vit_jax", tuple(rules), (Rule("head/(kernel|bias)", r"\1"),))


def _openai(projects: bool) -> Table:
    """CLIP as in OpenAI's own code and open_clip; the text tower is left out."""
    tower = r"(?:module\.)?visual\."
    block = rf"{tower}transformer\.resblocks\.(\d+)"
    rules = [
        Rule(rf"{tower}class_embedding", "class_token"),
        Rule(rf"{tower}positional_embedding", "positions"),
        *conv(rf"{tower}conv1", "patch_embed"),
        *layer_norm(rf"{tower}ln_pre", "pre_norm"),
        *layer_norm(rf"{block}\.ln_([12])", rf"{_BLOCK}/norm\2"),
        *_fused(rf"{block}\.attn\.in_proj_weight", rf"{block}\.attn\.in_proj_bias", rf"{_BLOCK}/attention"),
        *linear(rf"{block}\.attn\.out_proj", f"{_BLOCK}/attention/out"),
        *linear(rf"{block}\.mlp\.c_fc", f"{_BLOCK}/fc1"),
        *linear(rf"{block}\.mlp\.c_proj", f"{_BLOCK}/fc2"),
        *layer_norm(rf"{tower}ln_post", "norm"),
        *([Rule(rf"{tower}proj", "projection/kernel")] if projects else []),
    ]
    text = r"(?:module\.)?(?:transformer|token_embedding|ln_final|text)\..*"
    others = r"(?:module\.)?(?:positional_embedding|text_projection|logit_scale|logit_bias)"
    sizes = "input_resolution|context_length|vocab_size"
    return Table("openai", tuple(rules), drop=(text, others, sizes, *(() if projects else (rf"{tower}proj",))))


def _transformers_clip(projects: bool) -> Table:
    """CLIP in transformers; the text tower is left out."""
    block = r"vision_model\.encoder\.layers\.(\d+)"
    rules = [
        Rule(r"vision_model\.embeddings\.class_embedding", "class_token"),
        Rule(r"vision_model\.embeddings\.position_embedding\.weight", "positions"),
        *conv(r"vision_model\.embeddings\.patch_embedding", "patch_embed"),
        *layer_norm(r"vision_model\.pre_layrnorm", "pre_norm"),  # misspelt there
        *layer_norm(rf"{block}\.layer_norm([12])", rf"{_BLOCK}/norm\2"),
        *_split(rf"{block}\.self_attn\.", rf"{_BLOCK}/attention", ("q_proj", "k_proj", "v_proj")),
        *linear(rf"{block}\.self_attn\.out_proj", f"{_BLOCK}/attention/out"),
        *linear(rf"{block}\.mlp\.(fc[12])", rf"{_BLOCK}/\2"),
        *layer_norm(r"vision_model\.post_layernorm", "norm"),
        *([Rule(r"visual_projection\.weight", "projection/kernel", "linear")] if projects else []),
    ]
    drop = (r"text_model\..*", r"text_projection\.weight", "logit_scale", r"vision_model\.embeddings\.position_ids")
    return Table(
        "transformers_clip", tuple(rules), drop=(*drop, *(() if projects else (r"visual_projection\.weight",)))
    )


@functools.cache
def tables(*, projects: bool) -> tuple[Table, ...]:
    """Return the tables of all libraries; where the network `projects`, timm's head is the projection."""
    return (
        _timm(projects),
        _transformers(),
        _torchvision(),
        _vit_jax(),
        _openai(projects),
        _transformers_clip(projects),
    )
