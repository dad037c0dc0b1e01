"""A classifier of waveforms: an encoder of the Wav2Vec 2.0 family, of which some layers may be frozen, and a head."""

from collections.abc import Callable
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchaudio.models import Wav2Vec2Model

from training.optimizers import Groups


class Wav2Vec2(nn.Module):
    """A Wav2Vec 2.0 encoder, mean and maximum over time of its layers in learned shares, and a linear head.

    Baevski et al., wav2vec 2.0, NeurIPS 2020, arXiv 2006.11477; the shares after SUPERB, Yang et al., Interspeech 2021,
    doi 10.21437/Interspeech.2021-1775. Its input has no padding to mask: see `augment.repeat`.
    """

    def __init__(
        self,
        encoder: Wav2Vec2Model,
        classes: int,
        *,
        dropout: float,
        unfrozen_layers: int | Literal["all"],
        layer_decay: float = 1.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        layers = encoder.encoder.transformer.layers
        self.frozen_layers = 0 if unfrozen_layers == "all" else max(0, len(layers) - unfrozen_layers)
        self.learned = [encoder] if unfrozen_layers == "all" else [*layers[self.frozen_layers :]]
        self.layer_decay = layer_decay
        self.gradient_checkpointing = gradient_checkpointing
        width = layers[0].final_layer_norm.normalized_shape[0]
        self.encoder = encoder
        self.shares = nn.Parameter(torch.zeros(len(layers)))  # before the softmax
        self.head = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(dropout), nn.Linear(2 * width, classes))
        encoder.requires_grad_(False)
        for module in self.learned:
            module.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation, but leave what is frozen in evaluation: without dropout."""
        super().train(mode)
        self.encoder.eval()
        for module in self.learned:
            module.train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (clips, classes), of waveforms, shape (clips, samples), or of what `lower` says."""
        said = self.lower(x) if x.ndim == 2 else x
        pools, x = said[:, : 2 * self.frozen_layers], said[:, 2 * self.frozen_layers :]
        layers = self.encoder.encoder.transformer.layers
        bias = self._position_bias(x)
        for layer in layers[self.frozen_layers :]:
            x, bias = self._run(layer, x, None, bias)
            pools = torch.cat([pools, _pool(x)], dim=1)
        pooled = pools.reshape(len(pools), len(layers), -1)
        logits: Tensor = self.head(torch.einsum("l,clw->cw", self.shares.softmax(dim=0), pooled))
        return logits

    def lower(self, x: Tensor) -> Tensor:
        """Return what lies below the layers that learn, of waveforms, shape (clips, samples).

        Its shape is (clips, 2 * frozen layers + frames, width): mean and maximum over time of each frozen layer, then
        the frames that the first learned layer reads; without such a layer no frames.
        """
        x, bias, pools = self._run(self._enter, x), None, []
        layers = self.encoder.encoder.transformer.layers
        for layer in layers[: self.frozen_layers]:
            x, bias = layer(x, None, bias)
            pools.append(_pool(x))
        return torch.cat(pools if len(pools) == len(layers) else [*pools, x], dim=1)

    def parameter_groups(self) -> Groups:
        """Return the learned weights from the head down, each depth with its share of the learning rate."""
        layers, prefix = self.encoder.encoder.transformer.layers, "encoder.transformer.layers."
        entry = [weight for name, weight in self.encoder.named_parameters() if not name.startswith(prefix)]
        depths = [[self.shares, *self.head.parameters()], *(layer.parameters() for layer in reversed(layers)), entry]
        learned = [[weight for weight in weights if weight.requires_grad] for weights in depths]
        return [
            {"params": weights, "rate_share": self.layer_decay**depth}
            for depth, weights in enumerate(learned)
            if weights
        ]

    def _enter(self, x: Tensor) -> Tensor:
        features, _ = self.encoder.feature_extractor(x, None)
        entered: Tensor = self.encoder.encoder.transformer._preprocess(
            self.encoder.encoder.feature_projection(features)
        )
        return entered

    def _position_bias(self, x: Tensor) -> Tensor | None:
        """Return what a WavLM's lowest layer would hand to the layers above it, None for other models."""
        attention = self.encoder.encoder.transformer.layers[0].attention
        if self.frozen_layers == 0 or getattr(attention, "rel_attn_embed", None) is None:
            return None
        bias: Tensor = attention.compute_bias(x.shape[1], x.shape[1])
        return bias.expand(len(x), -1, -1, -1)

    def _run(self, part: Callable[..., Any], *given: Tensor | None) -> Any:  # noqa: ANN401 - what the part returns
        if self.training and self.gradient_checkpointing:
            return checkpoint(part, *given, use_reentrant=False)
        return part(*given)


def _pool(x: Tensor) -> Tensor:
    return torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)
