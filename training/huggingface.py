"""Weights in the layout of Hugging Face transformers, in torchaudio's names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ARGUMENTS = {  # of torchaudio's models, by the key of transformers
    "conv_bias": "extractor_conv_bias",
    "hidden_size": "encoder_embed_dim",
    "feat_proj_dropout": "encoder_projection_dropout",
    "num_conv_pos_embeddings": "encoder_pos_conv_kernel",
    "num_conv_pos_embedding_groups": "encoder_pos_conv_groups",
    "num_hidden_layers": "encoder_num_layers",
    "num_attention_heads": "encoder_num_heads",
    "attention_dropout": "encoder_attention_dropout",
    "intermediate_size": "encoder_ff_interm_features",
    "activation_dropout": "encoder_ff_interm_dropout",
    "hidden_dropout": "encoder_dropout",
    "do_stable_layer_norm": "encoder_layer_norm_first",
    "layerdrop": "encoder_layer_drop",
}
WAVLM = {"num_buckets": "encoder_num_buckets", "max_bucket_distance": "encoder_max_distance"}
FIXED = {  # what torchaudio's models cannot do otherwise
    "model_type": ("wav2vec2", "hubert", "wavlm"),
    "hidden_act": ("gelu",),
    "feat_extract_activation": ("gelu",),
    "layer_norm_eps": (1e-5,),
    "feat_proj_layer_norm": (True,),
    "conv_pos_batch_norm": (False,),
    "adapter_attn_dim": (None,),
}
PARTS = {
    "feature_extractor": "feature_extractor",
    "feature_projection": "encoder.feature_projection",
    "encoder": "encoder.transformer",
}


def config(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of torchaudio's `wav2vec2_model`, or of `wavlm_model` for a WavLM.

    Raises:
        ValueError: it is the configuration of a model that torchaudio cannot build.
    """
    for key, possible in FIXED.items():
        if key in given and given[key] not in possible:
            known = " or ".join(map(str, possible))
            raise ValueError(f"config.json has `{key}: {given[key]}`, and only {known} is possible")
    names = ARGUMENTS | (WAVLM if given["model_type"] == "wavlm" else {})
    return {
        "extractor_mode": f"{given['feat_extract_norm']}_norm",
        "extractor_conv_layer_config": [
            list(layer) for layer in zip(given["conv_dim"], given["conv_kernel"], given["conv_stride"], strict=True)
        ],
        **{name: given[key] for key, name in names.items()},
        "aux_num_out": None,
    }


def weights(state: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the encoder under torchaudio's names; those of heads on top of it are left out."""
    found = {}
    for name, value in state.items():
        part, _, rest = name.removeprefix(f"{given['model_type']}.").partition(".")
        if part in PARTS:
            rest = rest.replace("conv.weight_g", "conv.parametrizations.weight.original0")
            rest = rest.replace("conv.weight_v", "conv.parametrizations.weight.original1")
            found[f"{PARTS[part]}.{rest}"] = value
    return _joined(found) if given["model_type"] == "wavlm" else found


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a WavLM with query, key and value of each attention in one tensor."""
    joined = {}
    for name, value in state.items():
        if match := re.fullmatch(r"(.*\.attention\.)q_proj\.(weight|bias)", name):
            parts = [state[f"{match[1]}{part}_proj.{match[2]}"] for part in "qkv"]
            joined[f"{match[1]}attention.in_proj_{match[2]}"] = torch.cat(parts)
        elif not re.search(r"\.attention\.[kv]_proj\.", name):
            joined[name.replace(".attention.out_proj.", ".attention.attention.out_proj.")] = value
    return joined


def rate_hz(folder: Path) -> int | None:
    """Return the sample rate that stands beside the weights, where one does."""
    path = folder / "preprocessor_config.json"
    return json.loads(path.read_text(encoding="utf-8")).get("sampling_rate") if path.exists() else None
