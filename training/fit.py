"""Train a model and predict with it: one loop for every model."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, Self, TypeAlias, runtime_checkable

import click
import numpy as np
import torch
from dvclive.live import Live
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from scmrepo.exceptions import SCMError
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from curation import files, params
from training import augment, checkpoints, losses, optimizers, sampling
from training.clips import Clips
from training.rounds import Round

Vary: TypeAlias = Callable[[Tensor, Tensor, np.random.Generator], Tensor]  # x, lengths, draws: the training views
Weights: TypeAlias = dict[str, Tensor]
History: TypeAlias = list[dict[str, float]]  # one row of metrics an epoch
LOWER_RATE = "Lower `peak_rate` of this model in params.yaml and run again."


class Recipe(params.Section):
    """How a model is trained: the keys that the sections `lite_cnn` and `wav2vec2` of params.yaml share."""

    recipe: str | None  # one of section `recipes`, which changes some of these keys
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)  # passes over the training list, at least
    min_steps: int = Field(ge=1)  # updates of the weights, at least: a small set gets more epochs
    patience_epochs: int | None = Field(
        ge=1
    )  # stop after so many without a better one; None: there are no validation clips
    batch_clips: int = Field(ge=2)
    peak_rate: float = Field(gt=0)  # learning rate at the end of the warm-up
    warmup_share: float = Field(gt=0, lt=1)  # of all steps
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(gt=0)  # longest gradient
    loss: losses.Params
    sampler: sampling.Sampler  # how the training list becomes the batches of an epoch
    prior_bias: bool  # whether the first prediction is the classes' shares of the clips
    mixup_alpha: float = Field(ge=0)  # of the Beta distribution of the shares; 0: no mixup
    checkpoint_s: float = Field(ge=0)  # time between two saves of the state; 0: after every epoch
    precision: Literal["auto", "32-true", "bf16-mixed"]  # auto: bf16-mixed where a GPU has it

    @model_validator(mode="after")
    def _goes_by_the_shares_once(self) -> Self:
        by = {"class_beta": self.loss.class_beta, "prior_tau": self.loss.prior_tau, "prior_bias": self.prior_bias}
        used = [f"`{name}`" for name, value in by.items() if value]
        if used and self.sampler != "once":
            raise ValueError(f"{used[0]} goes by how many clips a class has, not draws: it needs `sampler: once`")
        if len(used) > 1:
            raise ValueError(f"{' and '.join(used)} each make up for the shares of the classes: choose one")
        return self


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
    fabric = Fabric(accelerator="auto", devices=1, precision=_precision(p.precision))
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

    with _live(live) as log:
        bar = tqdm(total=epochs(turn, p), initial=len(history), desc=turn.name, unit="epoch", disable=None)
        for metrics in history:
            _log(log, metrics)
        while not _finished(history, turn, p):
            # learn, validate
            train_loss = learn(fabric, model, optimizer, clips, turn, p, epoch=len(history), vary=vary)
            metrics = {"train_loss": train_loss}
            if len(turn.valid):
                metrics |= validate(predict(model, clips, turn.valid, p), clips, turn.valid)
                _check(metrics["valid_loss"], turn, len(history), optimizer.param_groups[0]["lr"])
            history.append(metrics)
            _log(log, metrics)
            # keep
            if _best_epoch(history) == len(history) - 1:
                kept = _weights(model)
            # save
            if time.monotonic() - saved >= p.checkpoint_s or _finished(history, turn, p):
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
    """Train one epoch and return its mean loss: each clip is drawn as often as the training list says."""
    seed = _seed(p, turn, epoch + 1)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)  # dropout has no generator of its own
    counts = _counts(clips, turn, p).to(fabric.device)
    label = clips.targets[turn.draws].argmax(dim=1).numpy()
    total = 0.0
    model.train()
    drawn = sampling.batches(label, p.sampler, batches(turn, p), rng)
    for step, places in enumerate(drawn, start=epoch * batches(turn, p)):
        rows = turn.draws[torch.from_numpy(places)]
        x, lengths, targets, weights = (
            part[rows].to(fabric.device) for part in (clips.x, clips.lengths, clips.targets, clips.weights)
        )
        x = vary(x.float(), lengths, rng)
        x, targets, weights = augment.mixup(x, targets, weights, alpha=p.mixup_alpha, rng=rng)
        loss = losses.loss(model(x), targets, weights, p.loss, counts=counts)
        rate = learning_rate(step, epochs(turn, p) * batches(turn, p), p)
        _check(loss.item(), turn, epoch, rate)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=p.clip_norm, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item() * len(rows)
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


def learning_rate(step: int, steps: int, p: Recipe) -> float:
    """Return the rate of a step: a straight line up to the peak, half a cosine down to nothing."""
    warmup = p.warmup_share * steps
    if step < warmup:
        return p.peak_rate * (step + 1) / (warmup + 1)
    return p.peak_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def batches(turn: Round, p: Recipe) -> int:
    """Return the number of batches, all within one clip of the same size, in an epoch."""
    return -(-len(turn.draws) // p.batch_clips)


def epochs(turn: Round, p: Recipe) -> int:
    """Return the number of epochs: `epochs`, or as many as `min_steps` take."""
    return max(p.epochs, -(-p.min_steps // batches(turn, p)))


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


@contextmanager
def _live(folder: Path) -> Iterator[Live]:
    try:
        with Live(str(folder), save_dvc_exp=False, dvcyaml=None) as log:
            yield log
    except OSError as error:
        raise files.unwritable(folder, error) from error
    except SCMError as error:
        raise click.ClickException(
            f"DVCLive cannot tell the commit that its metrics belong to ({error}). "
            "In a new repository, run `git add --all` and `git commit` first, then `dvc repro` again."
        ) from error


def _log(log: Live, metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        log.log_metric(name, value)
    log.next_step()  # type: ignore[no-untyped-call]
