from pathlib import Path

import click
import numpy as np
import pytest
from sklearn.metrics.pairwise import manhattan_distances

from curation import vectors
from curation.vectors import Vectors

TWO = Vectors(
    ("aa", "bb"),
    {"one": np.array([[1, 5], [3, 5]], dtype=np.float32), "other": np.array([[-7], [-8]], dtype=np.float32)},
)
VARIED = Vectors(
    TWO.clip_ids,
    TWO.blocks,
    {
        "other": np.array([[[-7], [9], [8]], [[-6], [4], [2]]], dtype=np.float32),
        "one": np.array([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]], dtype=np.float32),
    },
)


def test_points_put_the_blocks_side_by_side_each_dimension_with_mean_0_and_the_deviation_of_its_block() -> None:
    assert TWO.points(["bb", "aa"]).tolist() == [[0.5, 0, -1], [-0.5, 0, 1]]


def test_a_block_weighs_the_same_in_a_manhattan_distance_however_many_dimensions_it_has() -> None:
    rng = np.random.default_rng(0)
    clip_ids = tuple(f"{n:02}" for n in range(20))
    one, other = (rng.normal(size=(20, size)).astype(np.float32) for size in (3, 5))
    few, many = (Vectors(clip_ids, {"one": block, "other": other}) for block in (one, np.tile(one, 40)))
    np.testing.assert_allclose(
        manhattan_distances(many.points(clip_ids)), manhattan_distances(few.points(clip_ids)), rtol=1e-5
    )


def test_the_points_of_some_clips_are_those_they_have_among_all() -> None:
    assert TWO.points(["aa"]).tolist() == [[-0.5, 0, 1]]


def test_variations_follow_the_clips_one_of_each_and_then_another_of_each() -> None:
    assert VARIED.variations == 3
    assert VARIED.rows(["bb", "aa"], varied=True).tolist() == [
        [3, 5, -8],
        [1, 5, -7],
        [7, 8, -6],
        [1, 2, -7],
        [9, 10, 4],
        [3, 4, 9],
        [11, 12, 2],
        [5, 6, 8],
    ]
    assert VARIED.rows(["aa"]).tolist() == TWO.rows(["aa"], varied=True).tolist() == [[1, 5, -7]]


def test_variations_are_measured_by_the_clips_as_they_are() -> None:
    assert VARIED.points(["bb", "aa"]).tolist() == TWO.points(["bb", "aa"]).tolist()
    mean, scale = TWO.standard(TWO.clip_ids)
    expected = (VARIED.rows(["aa"], varied=True) - mean) / scale
    np.testing.assert_allclose(VARIED.points(["aa"], varied=True), expected)


def test_variations_are_read_as_written(tmp_path: Path) -> None:
    vectors.write(VARIED, tmp_path)
    np.testing.assert_array_equal(
        vectors.read(tmp_path).rows(["bb", "aa"], varied=True), VARIED.rows(["bb", "aa"], varied=True)
    )
    first = (tmp_path / vectors.VARIED).read_bytes()
    vectors.write(vectors.read(tmp_path), tmp_path)
    assert (tmp_path / vectors.VARIED).read_bytes() == first
    vectors.write(TWO, tmp_path)
    assert vectors.read(tmp_path).variations == 0


def test_variations_of_other_clips_are_refused(tmp_path: Path) -> None:
    vectors.write(VARIED, tmp_path)
    kept = (tmp_path / vectors.VARIED).read_bytes()
    vectors.write(Vectors(("bb", "aa"), TWO.blocks), tmp_path)
    (tmp_path / vectors.VARIED).write_bytes(kept)
    with pytest.raises(click.ClickException, match=r"variations\.npz is of other clips.*`dvc repro features`"):
        vectors.read(tmp_path)
    (tmp_path / vectors.VARIED).unlink()
    with pytest.raises(click.ClickException, match=r"variations\.npz does not exist. `dvc repro features`"):
        vectors.read(tmp_path)


def test_vectors_are_read_as_written_and_hold_no_pickle_and_no_clock(tmp_path: Path) -> None:
    vectors.write(TWO, tmp_path)
    found = vectors.read(tmp_path)
    assert found.clip_ids == TWO.clip_ids
    assert {name: block.tolist() for name, block in found.blocks.items()} == {
        "one": [[1, 5], [3, 5]],
        "other": [[-7], [-8]],
    }
    first = (tmp_path / vectors.NAME).read_bytes()
    vectors.write(found, tmp_path)
    assert (tmp_path / vectors.NAME).read_bytes() == first


def test_a_clip_without_vector_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"lacks 1 clips, 'cc' first.*`dvc repro features`"):
        TWO.points(["aa", "cc"])


@pytest.mark.parametrize("content", [b"", b"clip_id,one\n", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_holds_no_vectors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / vectors.NAME).write_bytes(content)
    with pytest.raises(click.ClickException, match=r"vectors\.npz holds no vectors.*`dvc repro features`"):
        vectors.read(tmp_path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / vectors.NAME, clip_id=np.array(["aa"]), one=np.array([{}], dtype=object))
    with pytest.raises(click.ClickException, match="holds no vectors"):
        vectors.read(tmp_path)


def test_a_missing_file_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"does not exist. `dvc repro features`"):
        vectors.read(tmp_path)
