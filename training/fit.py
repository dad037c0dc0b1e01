"""Train a model and predict with it: one loop for every model."""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import click
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from training import augment, checkpoints, losses, metrics_log, optimizers, ranks, sampling
from training.clips import Clips
from training.recipe import Recipe, batches, epochs, learning_rate
from training.rounds import Round

Vary: TypeAlias = Callable[[Tensor, Tensor, np.random.Generator], Tensor]  # x, lengths, draws: the training views
Weights: TypeAlias = dict[str, Tensor]
History: TypeAlias = list[dict[str, float]]  # one row of metrics an epoch
LOWER_RATE = "Lower `peak_rate` of this model in params.yaml and run again."


def fit(
    build: Callable[[], nn.Module],
    clips: Clips,
    turn: Round,
    p: Recipe,
    *,
    vary: Vary,
    live: Path,
    checkpoint: Path,
    key: str,
) -> nn.Module:
    """Return a model trained on one round, with the weights of its best epoch, or of its last without validation clips.

    The best epoch has the highest balanced accuracy on the validation clips; of equals, the lowest loss. Every epoch
    draws from a seed of its own, so a training that was killed and resumed ends as one that was not: on a CPU, with
    the same number of threads, to the byte.

    Args:
        build: makes the model; its first weights come from torch's generator.
        clips: all clips.
        turn: which of them to learn from and to stop by.
        p: the recipe.
        vary: makes the training views of a batch; validation sees the clips as they are.
        live: folder for DVCLive's metrics.
        checkpoint: file for the state, from which a killed training goes on.
        key: hash of all that determines the result; a checkpoint with another key is not used.

    Raises:
        click.ClickException: the loss, or a weight that is kept, is not finite.
    """
    if p.sampler == "once":
        turn = dataclasses.replace(turn, draws=torch.from_numpy(np.unique(turn.draws)))
    device = [ranks.rank()] if torch.cuda.is_available() else 1
    fabric = Fabric(accelerator="auto", devices=device, precision=_precision(p.precision))
    torch.manual_seed(_seed(p, turn, 0))
    model = build()
    if p.prior_bias:
        start_at_prior(model, _counts(clips, turn, p))
    optimizer = optimizers.adamw(model, weight_decay=p.weight_decay)
    model, optimizer = fabric.setup(model, optimizer)
    history: History = []
    kept = _weights(model)
    saved = time.monotonic()

    # resume
    if state := checkpoints.load(checkpoint, key=key):
        history, kept = state["history"], state["kept"]
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])

    with metrics_log.log(live) as log:
        bar = tqdm(
            total=epochs(turn, p), initial=len(history), desc=turn.name, unit="epoch", disable=ranks.rank() > 0 or None
        )
        for metrics in history:
            metrics_log.add(log, metrics)
        while not _finished(history, turn, p):
            # learn, validate
            train_loss = learn(fabric, model, optimizer, clips, turn, p, epoch=len(history), vary=vary)
            metrics = {"train_loss": train_loss}
            if len(turn.valid):
                metrics |= validate(predict(model, clips, turn.valid, p), clips, turn.valid)
                _check(metrics["valid_loss"], turn, len(history), optimizer.param_groups[0]["lr"])
            history.append(metrics)
            metrics_log.add(log, metrics)
            # keep
            if _best_epoch(history) == len(history) - 1:
                kept = _weights(model)
            # save
            if ranks.rank() == 0 and (time.monotonic() - saved >= p.checkpoint_s or _finished(history, turn, p)):
                state = {
                    "history": history,
                    "kept": kept,
                    "model": _weights(model),
                    "optimizer": optimizer.state_dict(),
                }
                checkpoints.save(state, checkpoint, key=key)
                saved = time.monotonic()
            bar.update()
        bar.close()
        log.log_params(p.model_dump(mode="json"))  # last: DVCLive reads them again at every step
    if not all(value.isfinite().all() for value in kept.values()):
        raise click.ClickException(f"The weights of round {turn.name} are not finite after the last step. {LOWER_RATE}")
    model.load_state_dict(kept, strict=False)
    trained: nn.Module = model
    return trained


def learn(
    fabric: Fabric,
    model: nn.Module,
    optimizer: Optimizer,
    clips: Clips,
    turn: Round,
    p: Recipe,
    *,
    epoch: int,
    vary: Vary,
) -> float:
    """Train one epoch and return its mean loss: each clip is drawn as often as the training list says.

    Processes that share the batches (`ranks`) draw alike, views and mixtures too, and learn from their part.
    """
    seed = _seed(p, turn, epoch + 1)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed + ranks.rank())  # dropout has no generator of its own
    counts = _counts(clips, turn, p).to(fabric.device)
    label = clips.targets[turn.draws].argmax(dim=1).numpy()
    total = 0.0
    model.train()
    drawn = sampling.batches(label, p.sampler, batches(turn, p), rng)
    for step, places in enumerate(drawn, start=epoch * batches(turn, p)):
        rows = turn.draws[torch.from_numpy(places)]
        heard = clips.drawn(rows, rng)
        x, lengths = (part[heard].to(fabric.device) for part in (clips.x, clips.lengths))
        targets, weights = (part[rows].to(fabric.device) for part in (clips.targets, clips.weights))
        x = vary(x.float(), lengths, rng)
        x, targets, weights = augment.mixup(x, targets, weights, alpha=p.mixup_alpha, rng=rng)
        own = ranks.own(len(rows))
        loss = losses.loss(model(x[own]), targets[own], weights[own], p.loss, counts=counts)
        loss = loss * (len(x[own]) / len(rows))
        whole = ranks.total(loss)
        rate = learning_rate(step, epochs(turn, p) * batches(turn, p), p)
        _check(whole, turn, epoch, rate)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        fabric.backward(loss)
        ranks.sum_gradients(model)
        fabric.clip_gradients(model, optimizer, max_norm=p.clip_norm, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad()
        total += whole * len(rows)
    return total / len(turn.draws)


def predict(model: nn.Module, clips: Clips, rows: Tensor, p: Recipe) -> Tensor:
    """Return the probabilities of the classes for the clips of `rows`, float32 of shape (rows, classes)."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        views = (
            augment.repeat(clips.x[part].float(), clips.lengths[part], clips.x.shape[-1]).to(device)
            for part in torch.split(rows, p.batch_clips)
        )
        return torch.cat([model(x).float().softmax(dim=1).cpu() for x in views])


def validate(probabilities: Tensor, clips: Clips, rows: Tensor) -> dict[str, float]:
    """Return the cross-entropy and the balanced accuracy, the mean over the classes present of the share found."""
    targets = clips.targets[rows]
    logits = probabilities.clamp_min(torch.finfo().tiny).log()
    loss = losses.cross_entropy(logits, targets, torch.ones(len(rows)))
    truth, found = targets.argmax(dim=1), probabilities.argmax(dim=1)
    recalls = [
        (found[truth == column] == column).float().mean() for column in range(targets.shape[1]) if column in truth
    ]
    return {"valid_loss": loss.item(), "valid_balanced_accuracy": torch.stack(recalls).mean().item()}


@runtime_checkable
class Summed(Protocol):
    """A model whose logits are the sum of what several linear layers say, the first of them with a bias."""

    def heads(self) -> list[nn.Linear]:
        """Return these layers."""
        ...


def start_at_prior(model: nn.Module, counts: Tensor) -> None:
    """Set what gives the logits, by default the last linear layer, to predict the classes' shares whatever it hears.

    After Lin et al. 2017, section 3.3, for two classes and more. Else the first steps only learn which class is
    commonest. The weights start at 0: what an untrained layer says would lead away from the shares.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    heads = model.heads() if isinstance(model, Summed) else linear[-1:]
    with torch.no_grad():
        for head in heads:
            head.weight.zero_()
        heads[0].bias.copy_((counts / counts.sum()).clamp_min(torch.finfo().eps).log())


def _counts(clips: Clips, turn: Round, p: Recipe) -> Tensor:
    """Return how often each class is drawn in an epoch."""
    counts = clips.targets[turn.draws].sum(dim=0)
    return counts if p.sampler in ("listed", "once") else torch.full_like(counts, float(counts.mean()))


def _check(loss: float, turn: Round, epoch: int, rate: float) -> None:
    if not math.isfinite(loss):
        raise click.ClickException(
            f"The loss of round {turn.name} is {loss} in epoch {epoch}, at a learning rate of {rate:.2g}. {LOWER_RATE}"
        )


def _best_epoch(history: History) -> int:
    if "valid_loss" not in history[0]:
        return len(history) - 1
    rank = [(metrics["valid_balanced_accuracy"], -metrics["valid_loss"]) for metrics in history]
    return rank.index(max(rank))


def _finished(history: History, turn: Round, p: Recipe) -> bool:
    waited = len(history) - 1 - _best_epoch(history) if history else 0
    return len(history) >= epochs(turn, p) or (p.patience_epochs is not None and waited >= p.patience_epochs)


def _weights(model: nn.Module) -> Weights:
    """Return a copy of what training changes: the weights that are not frozen, and the buffers."""
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    return {name: value.cpu().clone() for name, value in model.state_dict().items() if name not in frozen}


def _seed(p: Recipe, turn: Round, number: int) -> int:
    return int(np.random.SeedSequence([p.seed, turn.fold + 1, number]).generate_state(1)[0])


def _precision(choice: Literal["auto", "32-true", "bf16-mixed"]) -> Literal["32-true", "bf16-mixed"]:
    if choice == "auto":
        return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
    return choice
