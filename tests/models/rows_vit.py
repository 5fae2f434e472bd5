"""Reference networks: vision transformers."""

from __future__ import annotations

from typing import Any

from tests.models.row import Row, called, pooled, timm


def clip_tower() -> Any:
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=48,
        num_attention_heads=4,
        num_hidden_layers=3,
        intermediate_size=192,
        patch_size=8,
        image_size=32,
        projection_dim=20,
    )
    return transformers.CLIPVisionModelWithProjection(config)


ROWS: dict[str, Row] = {
    "vit_tiny_patch16_224": Row(
        backbone="vit_tiny_patch16_224",
        library="timm",
        make=timm("vit_tiny_patch16_224", num_classes=7, img_size=32),
        features=pooled,
        logits=called,
        input=(2, 32, 32, 3),
        classes=7,
        options={"image_size": 32},
        stages=("blocks.0", "blocks.5", "blocks.11", "norm"),
        gradients={
            "pos_embed": "backbone/positions",
            "patch_embed.proj.weight": "backbone/patch_embed/kernel",
            "blocks.3.attn.proj.weight": "backbone/blocks/3/attention/out/kernel",
            "blocks.11.mlp.fc1.weight": "backbone/blocks/11/fc1/kernel",
            "head.weight": "classifier/kernel",
        },
    ),
    "deit_tiny_distilled_patch16_224": Row(
        backbone="deit_tiny_distilled_patch16_224",
        library="timm",
        make=timm("deit_tiny_distilled_patch16_224", num_classes=7, img_size=48, depth=2),
        features=pooled,
        logits=called,
        input=(2, 48, 48, 3),
        classes=7,
        options={"image_size": 48, "depth": 2},
        stages=("blocks.0", "blocks.1", "norm"),
        gradients={
            "dist_token": "backbone/distillation_token",
            "head.weight": "classifier/kernel",
            "head_dist.weight": "classifier/distilled/kernel",
        },
    ),
    "vit_small_patch14_dinov2": Row(
        backbone="vit_small_patch14_dinov2",
        library="timm",
        make=timm("vit_small_patch14_dinov2", num_classes=0, img_size=28, depth=2, init_values=0.1),
        features=pooled,
        logits=None,
        input=(2, 28, 28, 3),
        classes=0,
        options={"image_size": 28, "depth": 2},
        stages=("blocks.0", "blocks.1", "norm"),
        gradients={"blocks.0.ls1.gamma": "backbone/blocks/0/scale1", "cls_token": "backbone/class_token"},
    ),
    "clip_tower": Row(
        backbone="vit_base_patch32_clip_quickgelu_224",
        library="transformers_clip",
        make=clip_tower,
        features=lambda module, x: module(x).image_embeds,
        logits=None,
        input=(2, 32, 32, 3),
        classes=0,
        options={"width": 48, "heads": 4, "depth": 3, "patch": 8, "image_size": 32, "projection": 20},
        gradients={
            f"vision_model.encoder.layers.1.self_attn.{theirs}.weight": f"backbone/blocks/1/attention/{ours}/kernel"
            for theirs, ours in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"))
        }
        | {
            "vision_model.embeddings.class_embedding": "backbone/class_token",
            "visual_projection.weight": "backbone/projection/kernel",
        },
    ),
}
