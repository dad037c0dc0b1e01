import io
import shutil
from itertools import combinations
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import rows
import scipy.signal
import soundfile
import soxr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from curation import groups, params, tables
from curation.fingerprint import fingerprint

RATE_HZ = 16000
PARAMS = groups.Params.load("groups", rows.PARAMS)


def clips(**given_groups: str) -> pd.DataFrame:
    return rows.table(tables.CLIPS, *({"clip_id": name, "group": group} for name, group in given_groups.items()))


def joined(table: pd.DataFrame, *pairs: tuple[str, str]) -> dict[str, tuple[str, str]]:
    found = groups.groups(table, pairs)
    return {row.clip_id: (row.group, row.why) for row in found.itertuples()}


def near_duplicates(sounds: dict[str, np.ndarray], table: pd.DataFrame | None = None) -> list[groups.Pair]:
    prints = {name: fingerprint(sound, RATE_HZ) for name, sound in sounds.items()}
    table = clips(**{name: name for name in sounds}) if table is None else table
    return groups.near_duplicates(table, prints, sounds.__getitem__, PARAMS, rate_hz=RATE_HZ)


# The sounds: takes of one kind differ, as two recordings of it do.


def rain(seed: int, seconds: float = 4) -> np.ndarray:
    rng, n = default_rng(seed), round(seconds * RATE_HZ)
    drop = np.exp(-np.arange(160) / 20) * np.sin(np.arange(160) * 1.3)
    drops = rng.exponential(size=n) * (rng.random(n) < 60 / RATE_HZ)
    return (0.1 * np.convolve(drops, drop)[:n] + 0.01 * rng.normal(size=n)).astype(np.float32)


def noise(seed: int, seconds: float = 4) -> np.ndarray:
    white = default_rng(seed).normal(size=round(seconds * RATE_HZ))
    return (0.02 * scipy.signal.lfilter([1], [1, -0.9], white)).astype(np.float32)


def siren(seed: int, seconds: float = 4) -> np.ndarray:
    rng, t = default_rng(seed), np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    low_hz, high_hz, pace_hz = rng.normal([600, 1200, 0.4], [12, 24, 0.02])
    sweep = low_hz + (high_hz - low_hz) * np.sin(2 * np.pi * pace_hz * t + rng.uniform(0, 6)) ** 2
    phase = 2 * np.pi * np.cumsum(sweep) / RATE_HZ
    return (0.2 * np.sin(phase) + 0.1 * np.sin(2 * phase) + 0.002 * rng.normal(size=len(t))).astype(np.float32)


def notes(seed: int, seconds: float = 4) -> np.ndarray:
    rng, t = default_rng(seed), np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = np.zeros(len(t))
    for start in rng.uniform(0, seconds, 10):
        since = np.maximum(t - start, 0)
        sound += (t >= start) * np.exp(-4 * since) * sum(np.sin(2 * np.pi * 440 * h * since) / h for h in range(1, 8))
    return (0.1 * sound).astype(np.float32)


def knocks(seed: int, seconds: float = 4) -> np.ndarray:
    rng = default_rng(seed)
    beats = np.zeros(round(seconds * RATE_HZ))
    beats[(np.arange(rng.uniform(0, 0.3), seconds, rng.uniform(0.3, 0.6)) * RATE_HZ).astype(int)] = 0.5
    knock = np.exp(-np.arange(400) / 60) * np.sin(np.arange(400) * 0.7)
    return (np.convolve(beats, knock)[: len(beats)] + 0.001 * rng.normal(size=len(beats))).astype(np.float32)


KINDS = (rain, noise, siren, notes, knocks)


def coded(sound: np.ndarray, **how: object) -> np.ndarray:
    stored = io.BytesIO()
    soundfile.write(stored, sound, RATE_HZ, **how)
    stored.seek(0)
    return soundfile.read(stored, dtype="float32")[0]


def noisy(sound: np.ndarray) -> np.ndarray:
    level = 0.1 * np.sqrt(np.mean(sound**2))  # 20 dB below
    return sound + (level * default_rng(9).normal(size=len(sound))).astype(np.float32)


def via_8_khz(sound: np.ndarray) -> np.ndarray:
    return soxr.resample(soxr.resample(sound, RATE_HZ, 8000), 8000, RATE_HZ)


COPIES = {
    "softer": lambda sound: 0.25 * sound,
    "inverted": lambda sound: -sound,
    "later by 1.234 s": lambda sound: np.pad(sound, (round(1.234 * RATE_HZ), 0)),
    "trimmed by 0.777 s": lambda sound: sound[round(0.777 * RATE_HZ) :],
    "cropped to 2 s": lambda sound: sound[RATE_HZ : 3 * RATE_HZ],
    "mp3": lambda sound: coded(sound, format="MP3", subtype="MPEG_LAYER_III"),
    "vorbis": lambda sound: coded(sound, format="OGG", subtype="VORBIS"),
    "opus": lambda sound: coded(sound, format="OGG", subtype="OPUS"),
    "via 8 kHz": via_8_khz,
    "noisy": noisy,
    "trimmed, 8 kHz, noisy": lambda sound: noisy(via_8_khz(sound[5000:])),
    "cropped, softer, mp3": lambda sound: coded(0.3 * sound[9000:50000], format="MP3", subtype="MPEG_LAYER_III"),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_and_nothing_else(change: str) -> None:
    originals = {kind.__name__: kind(0) for kind in KINDS}
    copies = {f"{name} copy": COPIES[change](sound) for name, sound in originals.items()}
    assert near_duplicates(originals | copies) == sorted((name, f"{name} copy") for name in originals)


@pytest.mark.parametrize("kind", KINDS)
def test_takes_of_one_kind_of_sound_are_not_joined(kind: object) -> None:
    assert near_duplicates({f"take {seed}": kind(seed) for seed in range(10)}) == []


def test_takes_are_kept_apart_by_their_waveforms_even_where_fingerprints_propose_them() -> None:
    for kind in KINDS:
        takes = [kind(seed) for seed in range(4)]
        found = [groups.agreement(one, other, RATE_HZ) for one, other in combinations(takes, 2)]
        assert max(found) < PARAMS.min_agreement - 0.1, kind.__name__
        assert groups.agreement(takes[0], -0.5 * takes[0], RATE_HZ) == pytest.approx(1)


def test_agreement_does_not_depend_on_a_delay_of_parts_of_a_sample() -> None:
    sound = soxr.resample(rain(0), RATE_HZ, 4 * RATE_HZ)
    assert groups.agreement(sound[::4], sound[2::4], RATE_HZ) == pytest.approx(1, abs=0.02)


def test_hum_that_two_clips_have_in_common_does_not_join_them() -> None:
    hum = np.sin(2 * np.pi * 100 * np.arange(4 * RATE_HZ) / RATE_HZ).astype(np.float32)
    one, other = (0.5 * hum + noise(seed) / 4 for seed in (0, 1))
    assert np.corrcoef(one, other)[0, 1] > 0.9
    assert groups.agreement(one, other, RATE_HZ) < 0.5


def test_silence_agrees_with_nothing() -> None:
    silence = np.zeros(RATE_HZ, np.float32)
    assert groups.agreement(silence, silence, RATE_HZ) == 0
    assert groups.agreement(silence, rain(0, 1), RATE_HZ) == 0


def test_a_short_clip_is_found_by_half_of_it() -> None:
    short = rain(0, 0.6)
    assert near_duplicates({"a": short, "b": short[len(short) // 3 :]}) == [("a", "b")]


def test_less_overlap_than_asked_is_no_duplicate() -> None:
    sound = rain(0, 7)
    assert near_duplicates({"a": sound[: 4 * RATE_HZ], "b": sound[round(1.9 * RATE_HZ) :]}) == [("a", "b")]
    assert near_duplicates({"a": sound[: 4 * RATE_HZ], "b": sound[round(2.1 * RATE_HZ) :]}) == []


def test_what_is_together_already_is_not_compared() -> None:
    sounds = dict.fromkeys("abc", rain(0))
    assert near_duplicates(sounds, clips(a="g", b="g", c="g")) == []
    assert len(near_duplicates(sounds)) == 2


def test_silent_clips_and_no_clips_have_no_pairs() -> None:
    assert near_duplicates(dict.fromkeys("ab", np.zeros(RATE_HZ, np.float32))) == []
    assert near_duplicates({}) == []


def test_without_pairs_the_given_groups_stay() -> None:
    assert joined(clips(a="g", b="g", c="h")) == {"a": ("g", "given"), "b": ("g", "given"), "c": ("h", "given")}


def test_the_larger_group_gives_its_name_and_each_clip_says_why() -> None:
    table = clips(a="small", b="large", c="large", d="far", e="far", f="alone", g="large")
    assert joined(table, ("c", "a"), ("a", "d")) == {
        "a": ("large", "c"),
        "b": ("large", "given"),
        "c": ("large", "given"),
        "d": ("large", "a"),
        "e": ("large", "a"),
        "f": ("alone", "given"),
        "g": ("large", "given"),
    }


def test_of_equal_groups_the_first_by_name_gives_the_name() -> None:
    assert joined(clips(a="z", b="y"), ("a", "b")) == {"a": ("y", "b"), "b": ("y", "given")}


NAMES = st.sampled_from([f"c{i}" for i in range(8)])
TABLES = st.lists(st.sampled_from("pqrstu"), min_size=8, max_size=8).map(
    lambda given_groups: clips(**{f"c{i}": group for i, group in enumerate(given_groups)})
)
PAIRS = st.lists(st.tuples(NAMES, NAMES), max_size=6)


@settings(max_examples=40)
@given(table=TABLES, pairs=PAIRS)
def test_groups_are_the_connected_parts(table: pd.DataFrame, pairs: list[tuple[str, str]]) -> None:
    found = {clip_id: group for clip_id, (group, _) in joined(table, *pairs).items()}
    part = {row.clip_id: {row.clip_id} for row in table.itertuples()}
    same_group = [pair for _, members in table.groupby("group")["clip_id"] for pair in combinations(members, 2)]
    for one, other in [*pairs, *same_group]:
        for member in (union := part[one] | part[other]):
            part[member] = union
    assert {c: {d for d in found if found[d] == found[c]} for c in found} == part
    given_groups = table.set_index("clip_id")["group"]
    assert all(found[c] in set(given_groups[sorted(part[c])]) for c in found)


@settings(max_examples=40)
@given(table=TABLES, pairs=PAIRS, order=st.randoms(use_true_random=False))
def test_the_order_of_clips_and_pairs_does_not_matter(
    table: pd.DataFrame, pairs: list[tuple[str, str]], order: object
) -> None:
    other = [pair[:: order.choice([1, -1])] for pair in order.sample(pairs, len(pairs))]
    shuffled = table.sample(frac=1, random_state=order.randrange(1000))
    assert joined(shuffled, *other) == joined(table, *pairs)


@settings(max_examples=40)
@given(table=TABLES, pairs=PAIRS, like=NAMES, name=st.sampled_from(["a", "z"]))
def test_a_newcomer_does_not_rename_a_group_of_two_or_more(
    table: pd.DataFrame, pairs: list[tuple[str, str]], like: str, name: str
) -> None:
    before = joined(table, *pairs)
    newcomer = clips(new=name)
    after = joined(pd.concat([table, newcomer]), *pairs, (like, "new"))
    largest = table["group"].value_counts()
    kept = [c for c, (group, _) in before.items() if largest[group] >= 2 or group < name]
    assert {c: after[c][0] for c in kept} == {c: before[c][0] for c in kept}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with what the stage reads: two takes of rain and a softer copy of the second, padded to 8 s."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, tmp_path)
    sounds = {"a": rain(0), "b": rain(1), "c": rain(1)[8000:] / 2}
    frames = round(params.Data.load("data").clip_s * RATE_HZ)
    (tmp_path / "clips").mkdir()
    for name, sound in sounds.items():
        soundfile.write(tmp_path / f"clips/{name}.wav", np.pad(sound, (0, frames - len(sound))), RATE_HZ)
    table = rows.table(
        tables.CLIPS,
        *({"clip_id": name, "group": f"{name}.wav", "duration_s": len(s) / RATE_HZ} for name, s in sounds.items()),
    )
    tables.write(table, tmp_path / "clips.csv", tables.CLIPS)
    write_prints(tmp_path, sounds)
    return tmp_path


def write_prints(folder: Path, sounds: dict[str, np.ndarray]) -> None:
    prints = [fingerprint(sound, RATE_HZ) for sound in sounds.values()]
    offset = np.cumsum([0, *map(len, prints)])
    (folder / "features").mkdir(exist_ok=True)
    np.savez(folder / "features/fingerprints.npz", clip_id=list(sounds), rows=np.concatenate(prints), offset=offset)


def run() -> str:
    options = ["--clips", "clips.csv", "--audio", "clips", "--features", "features", "--out", "groups.csv"]
    result = CliRunner().invoke(groups.main, options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.output


def test_the_stage_writes_the_groups(stage: Path) -> None:
    assert "groups: 3 clips, 2 groups, 1 joins by near-duplicates" in run()
    assert (stage / "groups.csv").read_text() == "clip_id,group,why\na,a.wav,given\nb,b.wav,given\nc,b.wav,b\n"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda prints: prints.unlink(), r"fingerprints.npz does not exist. `dvc repro groups`"),
        (lambda prints: prints.write_text("?"), r"fingerprints.npz holds no fingerprints"),
        (lambda prints: np.savez(prints, rows=[]), r"fingerprints.npz holds no fingerprints"),
        (lambda prints: write_prints(prints.parents[1], {"b": rain(1)}), r"no fingerprint of 2 clips, 'a' first"),
    ],
)
def test_fingerprints_that_cannot_be_used_are_refused(stage: Path, spoil: object, said: str) -> None:
    prints = Path("features/fingerprints.npz")
    spoil(prints.absolute())
    with pytest.raises(click.ClickException, match=said):
        groups.read_prints(prints, ["a", "b", "c"])


def test_a_damaged_clip_is_named(stage: Path) -> None:
    (stage / "clips/c.wav").write_bytes(b"RIFF")
    assert "c.wav" in run()
    assert not (stage / "groups.csv").exists()
