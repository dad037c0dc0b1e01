from typing import Any

import pytest
import torch
from torch import Tensor
from torchaudio.models import Wav2Vec2Model

from training import encoders, optimizers
from training.classifier import Wav2Vec2

SIZE = {"convolutions": [[16, 64, 32], [16, 8, 4]], "width": 16, "heads": 2, "layers": 3, "dropout": 0.1}
CONFIG = encoders.config(encoders.Scratch(**SIZE))
WAVLM = CONFIG | {"encoder_num_buckets": 8, "encoder_max_distance": 20, "encoder_layer_norm_first": False}
X = torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))


def encoder(config: encoders.Config = CONFIG) -> Wav2Vec2Model:
    torch.manual_seed(7)
    made = encoders.empty(config)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return made


def classifier(unfrozen_layers: Any, *, config: encoders.Config = CONFIG, **changes: Any) -> Wav2Vec2:
    torch.manual_seed(7)
    return Wav2Vec2(encoder(config), 2, dropout=0, unfrozen_layers=unfrozen_layers, **changes)


@pytest.mark.parametrize(("unfrozen", "learned"), [(0, []), (1, [2]), (2, [1, 2]), (9, [0, 1, 2]), ("all", [0, 1, 2])])
def test_only_unfrozen_layers_and_the_head_change(unfrozen: int | str, learned: list[int]) -> None:
    model = classifier(unfrozen).train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD((w for w in model.parameters() if w.requires_grad), lr=1.0)
    model(X)[:, 0].sum().backward()
    optimizer.step()
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    layers = {name.split(".layers.")[1][0] for name in changed if ".layers." in name}
    assert layers == {str(layer) for layer in learned}
    assert any(name.startswith("head") for name in changed)
    assert any("feature_extractor" in name for name in changed) == (unfrozen == "all")


def test_frozen_layers_have_no_dropout() -> None:
    model = classifier(0).train()
    assert torch.equal(model(X), model(X))
    model = classifier(1).train()
    assert not torch.equal(model(X), model(X))


@pytest.mark.parametrize("config", [CONFIG, WAVLM], ids=["Wav2Vec 2.0", "WavLM"])
@pytest.mark.parametrize("unfrozen", [0, 1, 2, 3, "all"])
def test_it_pools_the_layers_that_torchaudio_computes(config: encoders.Config, unfrozen: int | str) -> None:
    model = classifier(unfrozen, config=config).eval()
    model.shares.data = torch.tensor([0.3, -1.0, 2.0])
    layers, _ = encoder(config).eval().extract_features(X)
    pooled = torch.stack([torch.cat([layer.mean(dim=1), layer.amax(dim=1)], dim=1) for layer in layers])
    shares = model.shares.softmax(dim=0)
    expected = model.head((shares[:, None, None] * pooled).sum(dim=0))
    torch.testing.assert_close(model(X), expected)
    torch.testing.assert_close(model(model.lower(X)), expected)


@pytest.mark.parametrize(("unfrozen", "rows"), [(0, 6), (1, 4 + 30), (3, 30)])
def test_what_lies_below_is_two_vectors_a_layer_and_the_frames_that_are_read_on(unfrozen: int, rows: int) -> None:
    assert classifier(unfrozen).eval().lower(X).shape == (2, rows, 16)


@pytest.mark.parametrize(("unfrozen", "less"), [(1, 1.9), ("all", 5)])
def test_checkpointing_keeps_less_and_gives_the_same_gradients(unfrozen: int | str, less: float) -> None:
    kept, gradients = [], []
    for checkpointing in (False, True):
        model = classifier(unfrozen, gradient_checkpointing=checkpointing).train()
        saved: list[int] = []

        def pack(tensor: Tensor, saved: list[int] = saved) -> Tensor:
            saved.append(tensor.numel() if not isinstance(tensor, torch.nn.Parameter) else 0)
            return tensor

        torch.manual_seed(0)  # of the dropout
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model(X).square().sum()
        kept.append(sum(saved))
        loss.backward()
        gradients.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    assert kept[1] < kept[0] / less
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


def test_the_deeper_a_layer_the_slower_it_learns() -> None:
    model = classifier("all", layer_decay=0.5)
    names = {weight: name for name, weight in model.named_parameters()}
    shares = {
        names[weight]: group["rate_share"]
        for group in optimizers.adamw(model, weight_decay=0).param_groups
        for weight in group["params"]
    }
    assert shares.keys() == set(names.values())
    assert {shares[name] for name in shares if name.startswith(("head.", "shares"))} == {1}
    for layer, share in enumerate([0.125, 0.25, 0.5]):
        assert {shares[name] for name in shares if f"transformer.layers.{layer}." in name} == {share}
    assert {shares[name] for name in shares if "feature" in name or "pos_conv" in name} == {0.0625}


def test_frozen_weights_are_in_no_group() -> None:
    model = classifier(1, layer_decay=0.5)
    grouped = {weight for group in model.parameter_groups() for weight in group["params"]}
    assert grouped == {weight for weight in model.parameters() if weight.requires_grad}
