"""Compare ingest with librosa: CPU time a clip, as ratios of medians taken in turns in one run."""

import hashlib
import importlib.util
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import click
import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from curation import audio, descriptors, files, ingest, params, pool, recording

DATA = params.Data(classes=("harmful", "safe"), clip_s=8, rate_hz=16_000)
PARAMS = ingest.Params(windows="first", min_duration_s=0.2, max_duration_s=900, silence_dbfs=-60, timeout_s=60)
FEATURES = descriptors.Params.load("features", Path(__file__).parents[1] / "params.yaml")
CONTAINERS = ("wav", "flac", "ogg", "mp3")
SOURCE_HZ, SOURCE_S, SOURCES = 44_100, 5, 4
FRAMES = round(DATA.clip_s * DATA.rate_hz)
SPEED_UP_CLIPS = 200

Sound = NDArray[np.float32]
Pair = tuple[Callable[[], object], Callable[[], object]]  # as done here, as done with librosa


def make(folder: Path) -> None:
    """Write clips of noise and tones in each container."""
    rng = np.random.default_rng(0)
    seconds = np.arange(SOURCE_S * SOURCE_HZ) / SOURCE_HZ
    for n in range(SOURCES):
        tones = np.sin(2 * np.pi * rng.uniform(100, 8000, (5, 1)) * seconds).sum(axis=0)
        for container in CONTAINERS:
            sound = 0.05 * tones + 0.05 * rng.standard_normal(len(seconds))
            soundfile.write(folder / f"{n}.{container}", sound, SOURCE_HZ)


def pairs(path: Path, out: Path) -> dict[str, Pair]:
    """Return what is timed on one file."""
    source, rate_hz = soundfile.read(path, dtype="float32")
    sound = librosa.resample(source, orig_sr=rate_hz, target_sr=DATA.rate_hz)[:FRAMES]
    timed: dict[str, Pair] = {
        "decode": (lambda: decode(path), lambda: librosa.load(path, sr=None)),
        "to_rate": (
            lambda: audio.to_rate(source, rate_hz=rate_hz, to_hz=DATA.rate_hz),
            lambda: librosa.resample(source, orig_sr=rate_hz, target_sr=DATA.rate_hz),
        ),
        "hash": (lambda: hashlib.blake2b(audio.to_16_bit(source).data), lambda: hashlib.sha256(sound.data)),
        "write": (lambda: write(sound, out), lambda: peer_write(sound, out)),
        "whole": (lambda: whole(path, out), lambda: peer_whole(path, out)),
        "whole and measures": (
            lambda: ingest.cut(path.name, path.parent, out, PARAMS, DATA),
            lambda: peer_whole(path, out),
        ),
    }
    return (
        timed
        | {"features": (lambda: descriptors.features(sound, FEATURES, rate_hz=DATA.rate_hz), lambda: peer_mel(sound))}
        | log_mel_pair(sound)
    )


def decode(path: Path) -> None:
    """Decode in blocks, and forget them."""
    with audio.decoding(path) as (_, blocks):
        deque(blocks, maxlen=0)


def write(sound: Sound, out: Path) -> None:
    """Write a clip as ingest does."""
    with files.replacing(out / "ours.wav") as temporary:
        temporary.write_bytes(audio.to_wav(sound, rate_hz=DATA.rate_hz, frames=FRAMES))


def whole(path: Path, out: Path) -> str:
    """Do what librosa is timed on: decode, resample, write, and hash (here, all that was decoded)."""
    heard = recording.listen(path, clip_s=DATA.clip_s, to_hz=DATA.rate_hz, count=1, max_duration_s=900)
    write(heard.windows[0].sound, out)
    return heard.clip_id(0)


def peer_write(sound: Sound, out: Path) -> Sound:
    """Write a clip as FLAC."""
    clip = librosa.util.fix_length(sound, size=FRAMES)
    soundfile.write(out / "peer.flac", clip, DATA.rate_hz, subtype="PCM_16")
    return clip


def peer_whole(path: Path, out: Path) -> str:
    """Decode, resample, write, and hash the clip."""
    return hashlib.sha256(peer_write(librosa.load(path, sr=DATA.rate_hz)[0], out).data).hexdigest()


def peer_mel(clip: Sound) -> object:
    """Describe a clip by librosa's log-mel and no more."""
    power = librosa.feature.melspectrogram(y=clip, sr=DATA.rate_hz, n_fft=1024, hop_length=256, n_mels=64)
    return librosa.power_to_db(power)


def log_mel_pair(sound: Sound) -> dict[str, Pair]:
    """Return the log-mel of the training and of librosa, where the training is installed."""
    if not importlib.util.find_spec("training.mel"):
        return {}
    import torch

    from training import mel

    torch.set_num_threads(1)
    p = mel.Params(window_s=0.064, hop_s=0.016, bands=64, min_hz=0, max_hz=DATA.rate_hz / 2)
    clip = librosa.util.fix_length(sound, size=FRAMES)
    batch = torch.from_numpy((clip * audio.FULL_SCALE).astype(np.int16))[None]
    return {"log-mel": (lambda: mel.log_mel(batch, p, rate_hz=DATA.rate_hz), lambda: peer_mel(clip))}


def cpu_ms(call: Callable[[], object], out: Path) -> float:
    """Return the CPU time of one call that finds `out` empty, as in a pipeline: replacing a file costs more."""
    for path in out.iterdir():
        path.unlink()
    started = time.process_time()
    call()
    return 1000 * (time.process_time() - started)


def compare(paths: list[Path], out: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Return, for each step, the median milliseconds of both ways and their ratio."""
    timed = [pairs(path, out) for path in paths]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in timed[0]}
    for repeat in range(repeats + 1):
        for name, (ours, theirs) in (item for file in timed for item in file.items()):
            times = cpu_ms(ours, out), cpu_ms(theirs, out)
            if repeat:  # the first one warms up
                taken[name].append(times)
    return {name: _row(*map(statistics.median, zip(*times, strict=True))) for name, times in taken.items()}


def _row(ours_ms: float, librosa_ms: float) -> dict[str, float]:
    return {"ours_ms": ours_ms, "librosa_ms": librosa_ms, "ratio": ours_ms / librosa_ms}


def speed_up(paths: list[Path], out: Path) -> float:
    """Return how much faster, by the clock, two workers are than one."""
    tasks = [(path.name, path.parent, out, PARAMS, DATA) for path in paths * (SPEED_UP_CLIPS // len(paths))]
    taken = []
    for workers in (2, 1, 2):  # the first one warms up
        started = time.perf_counter()
        deque(pool.each(ingest.cut, tasks, workers=workers, timeout_s=60), maxlen=0)
        taken.append(time.perf_counter() - started)
    return taken[1] / taken[2]


@click.command()
@click.option(
    "--audio", "source", type=click.Path(exists=True, path_type=Path), help="Recordings instead of made ones."
)
@click.option("--repeats", type=click.IntRange(min=3), default=15, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go as JSON.")
def main(source: Path | None, repeats: int, out: Path | None) -> None:
    """Print CPU milliseconds a clip, and their ratio to librosa's."""
    with tempfile.TemporaryDirectory() as folder:
        scratch, made = Path(folder, "clips"), Path(folder, "raw")
        scratch.mkdir()
        made.mkdir()
        if source is None:
            make(made)
        sounds = {name: sorted((source or made).glob(f"*.{name}"))[:SOURCES] for name in CONTAINERS}
        with threadpool_limits(1):  # idle threads of BLAS go on spinning and would count for whoever is timed next
            report = {name: compare(paths, scratch, repeats) for name, paths in sounds.items() if paths}
        two = speed_up([path for paths in sounds.values() for path in paths], scratch)
    for name, rows in report.items():
        for step, row in rows.items():
            click.echo(f"{name:5} {step:18} {row['ours_ms']:7.2f} {row['librosa_ms']:7.2f} {row['ratio']:6.2f}x")
    click.echo(f"2 workers against 1, by the clock: {two:.2f}x")
    if out:
        files.write_json({"containers": report, "two_workers": two}, out)


if __name__ == "__main__":
    main()
