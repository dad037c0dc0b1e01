import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import click
import corpus
import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner
from rows import table
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from curation import sample, sample_audio, sample_plan, sample_score, sounds, split, tables
from curation.sample_audio import FLAC, FLAC24, M4A, MP3, OGG, WAV, WAV24, WAV_FLOAT, Audio
from curation.sample_plan import plan

SHORT = Audio(sounds.siren, (1,), (2,), 0.5, 16_000, 2, WAV, 16_000)
UNUSABLE = {*sample_score.REJECTS, "outlier"}
FEW = [r for r in plan(0) if r.fault in {"empty", "too_short", "missing", "outside", "unlisted"}]
FLIPPED = [r for r in plan(0) if r.fault == "label"]


def samples(audio: Audio) -> np.ndarray:
    """Return what a decoder makes of the file, shape (n, channels)."""
    sound, rate_hz = soundfile.read(io.BytesIO(sample_audio.content(audio)), always_2d=True)
    assert rate_hz == audio.stored_hz
    return sound


# The plan


@pytest.mark.parametrize("seed", range(5))
def test_the_plan_has_about_120_recordings_60_to_40_and_some_100_stay_usable(seed: int) -> None:
    recordings = plan(seed)
    usable = [r for r in recordings if r.fault not in UNUSABLE]
    harmful = Counter(r.truth for r in usable)["harmful"] / len(usable)
    assert len(recordings) == pytest.approx(120, abs=5)
    assert len(usable) == pytest.approx(98, abs=4)
    assert harmful == pytest.approx(0.6, abs=0.04)
    assert len({r.file for r in recordings}) == len(recordings)


def test_every_fault_that_a_finder_names_is_planted() -> None:
    assert {r.fault for r in plan(0)} == {"", "unlabelled", "shortcut", *sample_score.REJECTS, *sample_score.FLAGS}


def test_every_change_is_known() -> None:
    assert {r.audio.change for r in plan(0)} - {""} == {*sample_audio.CHANGES, *sample_audio.DAMAGES}


@pytest.mark.parametrize("seed", range(5))
def test_only_planted_faults_have_wrong_labels(seed: int) -> None:
    wrong = [r for r in plan(seed) if r.label != r.truth]
    assert {r.fault for r in wrong if r.truth != "none"} == {"label", "unlabelled", "conflict", "unlisted"}
    assert Counter((r.truth, r.label) for r in wrong if r.fault == "label") == {
        ("harmful", "safe"): 6,
        ("safe", "harmful"): 4,
    }


def test_a_copy_is_of_another_group_than_its_twin() -> None:
    group = {r.file: r.group for r in plan(0)}
    copies = [r for r in plan(0) if r.twin]
    assert len(copies) == 14
    assert all(r.group != group[r.twin] for r in copies)


@pytest.mark.parametrize("seed", range(5))
def test_places_formats_and_names_say_nothing_about_the_class(seed: int) -> None:
    clean = [r for r in plan(seed) if r.fault not in UNUSABLE]
    for key in (lambda r: r.file[:7], lambda r: r.audio.container.suffix):
        assert {r.truth for r in clean if key(r) == key(clean[0])} == {"harmful", "safe"}
    numbers = {label: [int(r.file[12:15]) for r in clean if r.truth == label] for label in sounds.KINDS}
    assert abs(np.mean(numbers["harmful"]) - np.mean(numbers["safe"])) < 200


def test_five_folds_with_the_salt_of_the_project_hold_both_classes() -> None:
    usable = [r for r in plan(0) if r.fault not in UNUSABLE]
    clips = table(tables.CLIPS, *({"clip_id": r.file, "label": r.label} for r in usable))
    groups = table(tables.GROUPS, *({"clip_id": r.file, "group": r.group} for r in usable))
    p = split.Params.load("split", Path(__file__).parents[2] / "params.yaml")
    folds = split.split(clips, groups, p, classes=("harmful", "safe"))
    assert folds["fold"].nunique() == p.folds


# The recordings


@pytest.mark.parametrize("container", [WAV, WAV24, FLAC, FLAC24, OGG, MP3, M4A], ids=lambda c: f"{c.suffix}-{c.codec}")
def test_a_container_holds_the_sound_and_the_same_sound_is_the_same_bytes(container: sample_audio.Container) -> None:
    audio = replace(SHORT, container=container, rate_hz=48_000, stored_hz=48_000)
    data = sample_audio.content(audio)
    assert data == sample_audio.content(audio)
    with av.open(io.BytesIO(data)) as file:
        assert (file.streams.audio[0].rate, file.streams.audio[0].channels) == (48_000, 2)
        assert sum(frame.samples for frame in file.decode(audio=0)) == pytest.approx(24_000, abs=3_000)


def test_a_container_of_floats_has_no_time_in_it() -> None:
    assert b"PEAK" not in sample_audio.content(replace(SHORT, container=WAV_FLOAT))


def test_the_two_lossless_containers_of_one_depth_decode_to_the_same_samples() -> None:
    for one, other in sample_plan.SAME_BITS.items():
        np.testing.assert_array_equal(samples(replace(SHORT, container=one)), samples(replace(SHORT, container=other)))


def test_changes_of_the_sound_do_what_their_names_say() -> None:
    plain = samples(SHORT)

    def changed(change: str) -> np.ndarray:
        return samples(replace(SHORT, change=change))

    top = np.abs(changed("overdriven")).max()
    assert (np.abs(changed("overdriven")) > 0.999 * top).mean() == pytest.approx(0.05, abs=0.005)
    assert changed("shifted zero").mean() == pytest.approx(0.12 + 0.7 * plain.mean(), abs=1e-4)
    assert not changed("one side dead")[:, 1].any()
    assert np.corrcoef(changed("one side inverted").T)[0, 1] == pytest.approx(-1, abs=1e-3)
    assert (changed("gated") == 0).all(axis=1).mean() == pytest.approx(0.4, abs=0.31)
    assert not changed("all zeros").any()
    assert 0 < np.abs(changed("nearly silent")).max() < 10 ** (-60 / 20)
    np.testing.assert_allclose(changed("softer"), 0.35 * plain, atol=1e-4)
    np.testing.assert_array_equal(changed("started later"), plain[int(0.35 * 16_000) :])
    assert np.corrcoef(changed("light hiss")[:, 0], plain[:, 0])[0, 1] > 0.99
    assert np.corrcoef(changed("buried in noise")[:, 0], plain[:, 0])[0, 1] < 0.5
    assert len(changed("a click")) / 16_000 < 0.2
    assert len(changed("no samples")) == 0
    assert len(changed("left running")) / 16_000 > 900
    assert np.isnan(samples(replace(SHORT, change="not numbers", container=WAV_FLOAT))).any()
    crop = samples(replace(SHORT, duration_s=2.0, change="cropped"))
    np.testing.assert_array_equal(crop, samples(replace(SHORT, duration_s=2.0))[8_000:-16_000])


def test_muffled_and_upsampled_sound_ends_below_4_khz() -> None:
    for audio in (replace(SHORT, change="muffled"), replace(SHORT, rate_hz=8_000)):
        power = (np.abs(np.fft.rfft(samples(audio)[:, 0])) ** 2).cumsum()
        assert power[int(len(power) * 4_000 / 8_000)] > 0.999 * power[-1]


def test_damages_leave_a_file_that_is_cut_empty_or_no_audio() -> None:
    whole = sample_audio.content(SHORT)
    damaged = {name: sample_audio.content(replace(SHORT, change=name)) for name in sample_audio.DAMAGES}
    assert damaged["broken off"] == whole[: len(whole) // 2]
    assert damaged["no bytes"] == b""
    for name in ("a web page", "garbage"):
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.read(io.BytesIO(damaged[name]))


# The files


def test_make_writes_what_is_planned_and_its_tables(tmp_path: Path) -> None:
    raw, given, truth = tmp_path / "raw", tmp_path / "raw.csv", tmp_path / "truth.csv"
    sample.make([*FEW, *FLIPPED], raw, given, truth)
    there = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file()}
    assert there == {r.file for r in [*FEW, *FLIPPED] if r.fault not in {"missing", "outside"}}
    listed = tables.read(given, tables.RAW).set_index("file")
    assert set(listed.index) == {r.file for r in [*FEW, *FLIPPED] if r.fault != "unlisted"}
    planted = tables.read(truth, tables.TRUTH)
    flips = planted[planted["fault"] == "label"]
    assert len(flips) == 10
    assert (listed.loc[flips["file"], "label"].to_numpy() != flips["label"].to_numpy()).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "raw.csv", "truth.csv"]


@pytest.mark.parametrize(("held", "content"), [("raw/mine.wav", "x"), ("raw.csv", "file,label,group\nmine.wav,,\n")])
def test_make_replaces_nothing(held: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / held).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(click.ClickException, match=r"holds something already.*Nothing was changed.*--raw"):
        sample.make(FEW, tmp_path / "raw", tmp_path / "raw.csv", tmp_path / "truth.csv")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / held).read_text() == content


def test_an_empty_folder_and_a_table_of_a_header_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    tables.write(tables.RAW.empty(), tmp_path / "raw.csv", tables.RAW)
    sample.make(FEW, tmp_path / "raw", tmp_path / "raw.csv", tmp_path / "truth.csv")
    assert len(tables.read(tmp_path / "raw.csv", tables.RAW)) == len(FEW) - 1


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_bytes(path: Path, data: bytes) -> int:
        if list(path.parents[1].rglob("*.*")):
            raise KeyboardInterrupt
        with path.open("wb") as file:
            return file.write(data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(KeyboardInterrupt):
        sample.make(FEW, tmp_path / "data/raw", tmp_path / "data/raw.csv", tmp_path / "data/truth.csv")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("last", ["truth.csv", "raw.csv"])
def test_an_interruption_between_folder_and_table_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    def write(frame: pd.DataFrame, path: Path, kind: tables.Table) -> None:
        whole(frame, path, kind) if path.name != last else None
        if path.name == last:
            raise KeyboardInterrupt

    whole = tables.write
    monkeypatch.setattr(tables, "write", write)
    paths = [tmp_path / "data" / name for name in ("raw", "raw.csv", "truth.csv")]
    with pytest.raises(KeyboardInterrupt):
        sample.make(FEW, *paths)
    assert list((tmp_path / "data").iterdir()) == []
    monkeypatch.undo()
    sample.make(FEW, *paths)
    assert all(path.exists() for path in paths)


# The score


def truth(*rows: tuple[str, ...]) -> pd.DataFrame:
    names = ("file", "fault", "label", "twin")
    return table(tables.TRUTH, *(dict(zip(names, row, strict=False)) | {"detail": "so"} for row in rows))


def of(scores: pd.DataFrame, finder: str, name: str) -> tuple[object, ...]:
    (row,) = scores[(scores["finder"] == finder) & (scores["table"] == name)].itertuples(index=False)
    return row.planted, row.found, row.true, row.precision, row.recall, row.missed


CLIPS = table(
    tables.CLIPS,
    *(
        {"clip_id": f"clip {name}", "file": name, "label": label, "group": f"of {name}"}
        for name, label in (("a", "safe"), ("b", "safe"), ("c", "harmful"), ("d", "harmful"), ("e", ""))
    ),
)


def test_rejects_are_scored_by_reason_and_either_twin_will_do() -> None:
    planted = truth(("x", "silent", "none"), ("y", "silent", "none"), ("q", "duplicate", "safe", "p"))
    rejects = table(
        tables.REJECTS,
        {"file": "x", "reason": "silent"},
        {"file": "a", "reason": "silent"},
        {"file": "p", "reason": "duplicate"},
        {"file": "z", "reason": "crashed"},
    )
    scores = sample_score.score(planted, rejects=rejects)
    assert of(scores, "silent", "rejects.csv") == (2, 2, 1, 0.5, 0.5, ["y (so)"])
    assert of(scores, "duplicate", "rejects.csv") == (1, 1, 1, 1, 1, [])
    assert of(scores, "crashed", "rejects.csv")[:4] == (0, 1, 0, 0)


def test_near_duplicates_are_scored_as_pairs_of_given_groups() -> None:
    planted = truth(("a", "near_duplicate", "safe", "b"), ("c", "near_duplicate", "harmful", "lost"))
    groups = table(
        tables.GROUPS,
        *({"clip_id": f"clip {name}", "group": group} for name, group in zip("abcde", "11223", strict=True)),
    )
    scores = sample_score.score(planted, clips=CLIPS, groups=groups)
    assert of(scores, "near_duplicate", "groups.csv") == (2, 2, 1, 0.5, 0.5, ["c (so)"])


def test_flags_queue_and_labels_are_scored_by_the_files_of_their_clips() -> None:
    planted = truth(("a", "label", "harmful"), ("c", "label", "safe"), ("e", "unlabelled", "safe"))
    flags = table(tables.FLAGS, {"clip_id": "clip a", "reason": "label"}, {"clip_id": "clip b", "reason": "label"})
    queue = table(tables.QUEUE, *({"clip_id": f"clip {n}", "rank": rank} for n, rank in (("c", 10), ("a", 20))))
    labels = table(
        tables.LABELS,
        *(
            {"clip_id": f"clip {n}", "label": label}
            for n, label in (("a", "harmful"), ("b", "safe"), ("c", "harmful"), ("d", "harmful"), ("e", ""))
        ),
    )
    scores = sample_score.score(planted, clips=CLIPS, flags=flags, queue=queue, labels=labels)
    assert of(scores, "label", "flags.csv") == (2, 2, 1, 0.5, 0.5, ["c (so)"])
    assert of(scores, "label, first 10 to hear", "queue.csv") == (2, 1, 1, 1, 0.5, ["a (so)"])
    assert of(scores, "label, first 20 to hear", "queue.csv") == (2, 2, 2, 1, 1, [])
    assert of(scores, "unlabelled", "labels.csv") == (1, 1, 1, 1, 1, [])
    assert of(scores, "label, corrected", "labels.csv") == (2, 1, 1, 1, 0.5, ["c (so)"])


def test_a_shortcut_is_scored_by_the_measures_above_chance() -> None:
    measured = [("noise", 0.8), ("all", 0.9), ("bandwidth", 0.75), ("level", 0.69)]
    audit = table(tables.SHORTCUTS, *({"measure": m, "auc": auc, "chance_auc": 0.7} for m, auc in measured))
    scores = sample_score.score(truth(("a", "shortcut", "harmful")), clips=CLIPS, shortcuts=audit)
    assert of(scores, "shortcut", "shortcuts.csv") == (1, 2, 1, 0.5, 1, [])


def test_a_finder_without_its_table_says_so() -> None:
    scores = sample_score.score(truth(("a", "label", "harmful")), clips=CLIPS)
    assert scores["found"].isna().all()
    assert sample_score.text(scores).splitlines()[2].split() == (
        ["label", "flags.csv", "1", "not", "scored:", "flags.csv", "is", "not", "there", "yet"]
    )


def test_the_text_is_aligned_and_names_what_was_missed() -> None:
    planted = truth(("x", "silent", "none"), ("y", "silent", "none"), ("z", "silent", "none"), ("w", "silent", "none"))
    rejects = table(tables.REJECTS, {"file": "x", "reason": "silent"})
    text = sample_score.text(sample_score.score(planted, rejects=rejects)).splitlines()
    assert text[0].split() == ["finder", "table", "planted", "found", "true", "precision", "recall", "missed"]
    assert text[1].split(maxsplit=7) == [
        *("silent", "rejects.csv", "4", "1", "1", "1.00", "0.25"),
        "y (so), z (so) and 1 more",
    ]


# The command


def run(*arguments: str) -> str:
    result = CliRunner().invoke(sample.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_makes_a_corpus_says_what_comes_next_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample, "plan", lambda seed: FEW if seed == 3 else [])
    made = run("--no-dvc", "--seed", "3")
    assert "sample: 5 recordings in data/raw" in made
    assert "Next: `dvc repro`" in made
    tables.write(
        table(tables.REJECTS, {"file": "../elsewhere.wav", "reason": "outside"}),
        Path("data/rejects.csv"),
        tables.REJECTS,
    )
    assert "outside rejects.csv" in run("--score", "--json", "score.json")
    scores = {(row["finder"], row["table"]): row for row in json.loads(Path("score.json").read_text())}
    assert scores["outside", "rejects.csv"]["recall"] == 1
    assert scores["empty", "rejects.csv"]["found"] == 0


REASONS = {"w": "suspect", "r": "audit"}


def test_the_annotator_hears_what_is_queued_and_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample, "plan", lambda _seed: [*FEW, *FLIPPED])
    run("--no-dvc")
    wrong, right = FLIPPED[0], next(recording for recording in plan(0) if not recording.fault)
    clips = [{"clip_id": name, "file": r.file, "label": r.label} for name, r in (("w", wrong), ("r", right))]
    queued = [{"clip_id": name, "rank": n, "reason": why} for n, (name, why) in enumerate(REASONS.items(), 1)]
    tables.write(table(tables.CLIPS, *clips), Path("data/clips.csv"), tables.CLIPS)
    tables.write(table(tables.QUEUE, *queued), Path("data/queue.csv"), tables.QUEUE)
    tables.write(tables.REVIEWS.empty(), Path("data/reviews.csv"), tables.REVIEWS)
    assert "2 answers added to data/reviews.csv" in run("--answer")
    reviews = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    assert dict(zip(reviews["clip_id"], reviews["answer"], strict=True)) == {"w": wrong.truth, "r": right.label}
    assert wrong.truth != wrong.label
    assert dict(zip(reviews["clip_id"], reviews["asked"], strict=True)) == REASONS
    assert "0 answers added" in run("--answer")


@pytest.mark.slow
def test_the_command_puts_the_recordings_under_dvc(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "plan", lambda _seed: FEW)
    run()
    assert (repository / "data/raw.dvc").is_file()


def test_outside_a_repository_the_command_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(sample.main, [])
    assert result.exit_code == 1
    assert "Run `git init` and `dvc init` here first" in result.output
    assert list(tmp_path.iterdir()) == []


# The whole


def usable(root: Path) -> pd.DataFrame:
    """Return file, label (the right one) and group (of the original, for a copy) of the recordings that are sound."""
    sample.make(plan(0), root / "raw", root / "raw.csv", root / "truth.csv")
    frame = tables.read(root / "raw.csv", tables.RAW).set_index("file")
    planted = tables.read(root / "truth.csv", tables.TRUTH).set_index("file")
    copies = planted[planted["twin"] != ""]
    frame["label"] = planted["label"].reindex(frame.index).fillna(frame["label"])
    frame.loc[copies.index, "group"] = frame.loc[copies["twin"], "group"].to_numpy()
    return frame.drop(index=planted.index[planted["fault"].isin(UNUSABLE)], errors="ignore").reset_index()


def accuracy(features: list[np.ndarray], of_files: pd.DataFrame) -> float:
    """Return the balanced accuracy of an SVM on held-out groups, mean of five divisions into five folds."""
    harmful = (of_files["label"] == "harmful").to_numpy()
    model = make_pipeline(StandardScaler(), SVC(C=10, class_weight="balanced"))
    right = []
    for seed in range(5):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        guessed = cross_val_predict(model, np.array(features), harmful, groups=of_files["group"], cv=folds)
        right.append(np.mean([(guessed == harmful)[harmful == side].mean() for side in (True, False)]))
    return float(np.mean(right))


@pytest.mark.slow
def test_the_classes_can_be_learnt_but_not_from_length_loudness_or_noise_floor(tmp_path: Path) -> None:
    recordings = usable(tmp_path)
    heard, measured = [], []
    for file in recordings["file"]:
        sound, rate_hz = decode(tmp_path / "raw" / file)
        heard.append(timbre(librosa.resample(sound, orig_sr=rate_hz, target_sr=16_000)[: 8 * 16_000]))
        chunks = sound[: len(sound) // 400 * 400].reshape(-1, 400)
        levels_db = 10 * np.log10((chunks**2).mean(axis=1) + 1e-10)
        peak_db = 20 * np.log10(np.abs(sound).max())
        measured.append(np.array([len(sound) / rate_hz, peak_db, levels_db.mean(), *np.percentile(levels_db, [5, 50])]))
    by_timbre, by_levels = accuracy(heard, recordings), accuracy(measured, recordings)
    print(f"balanced accuracy by timbre {by_timbre:.3f}, by length and levels {by_levels:.3f}")
    assert 0.75 < by_timbre < 0.97
    assert by_levels < 0.62


def decode(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as file:
        rate_hz = file.streams.audio[0].rate
        to_float = av.AudioResampler("flt", "mono", rate_hz)
        frames = [part for frame in [*file.decode(audio=0), None] for part in to_float.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate_hz


def timbre(sound: np.ndarray) -> np.ndarray:
    """Return mean and deviation of log-mel bands and cepstrum, without the gain."""
    power = librosa.feature.melspectrogram(y=sound, sr=16_000, n_fft=1024, hop_length=256, n_mels=64)
    mel_db = librosa.power_to_db(power, ref=np.max)
    mel_db -= mel_db.mean()
    cepstrum = librosa.feature.mfcc(S=mel_db, n_mfcc=20)
    delta = librosa.feature.delta(cepstrum)
    return np.concatenate([mel_db.mean(1), mel_db.std(1), cepstrum.mean(1), cepstrum.std(1), delta.std(1)])


def test_the_small_corpus_has_the_faults_it_names(tmp_path: Path) -> None:
    made = corpus.make(tmp_path)
    listed = tables.read(tmp_path / "data/raw.csv", tables.RAW).set_index("file")
    assert {file for file, label in made.labels.items() if listed.loc[file, "label"] != label} == set(made.flipped)
    assert Counter(made.labels.values()) == {"harmful": 12, "safe": 12}
    assert listed["group"].is_unique
    raw = tmp_path / "data/raw"
    one, other = (soundfile.read(raw / file)[0] for file in made.duplicate)
    np.testing.assert_array_equal(one, other)
    assert not soundfile.read(raw / made.silent)[0].any()
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(raw / made.unreadable)
