from pathlib import Path

import click
import pytest
import torch
from torch import Tensor

from training import frozen

X = torch.randn(7, 10, generator=torch.Generator().manual_seed(0)).half()
LENGTHS = torch.tensor([10, 4, 10, 7, 10, 1, 10])


class Lower:
    """Return each waveform and its square, note how many there were, and stop like a kill at clip `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.heard = 0
        self.last = last

    def __call__(self, x: Tensor) -> Tensor:
        if self.last is not None and self.heard >= self.last:
            raise KeyboardInterrupt
        self.heard += len(x)
        return torch.stack([x, x.square()], dim=1)


def once(path: Path, lower: Lower) -> Tensor:
    return frozen.once(lower, X, LENGTHS, path, block_clips=2)


def test_each_clip_is_heard_once_its_sound_repeated(tmp_path: Path) -> None:
    lower = Lower()
    said = once(tmp_path / "new/a.f16", lower)
    assert lower.heard == 1 + len(X)  # one for the shape
    assert (said.shape, said.dtype) == ((7, 2, 10), torch.float16)
    assert said.untyped_storage().filename == str(tmp_path / "new/a.f16")  # by which workers open it
    assert said[1, 0].tolist() == [*X[1, :4], *X[1, :4], *X[1, :2]]
    torch.testing.assert_close(said[:, 1].float(), said[:, 0].float().square(), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("last", [1, 3, 5, 7])
def test_a_run_that_was_killed_goes_on_where_it_stood(tmp_path: Path, last: int) -> None:
    whole = once(tmp_path / "whole/a.f16", Lower())
    with pytest.raises(KeyboardInterrupt):
        once(tmp_path / "killed/a.f16", Lower(last))
    with (tmp_path / "killed/a.f16").open("ab") as file:
        file.write(b"half a clip")
    rest = Lower()
    assert torch.equal(once(tmp_path / "killed/a.f16", rest), whole)
    assert rest.heard == 1 + len(X) - (last - 1)
    assert (tmp_path / "killed/a.f16").read_bytes() == (tmp_path / "whole/a.f16").read_bytes()


def test_what_was_kept_of_other_weights_goes(tmp_path: Path) -> None:
    once(tmp_path / "a.f16", Lower())
    (tmp_path / "fold_0.pt").write_text("")
    once(tmp_path / "b.f16", Lower())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.f16", "fold_0.pt"]


def test_numbers_beyond_half_floats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"half floats cannot hold.*`augment`"):
        frozen.once(lambda x: x + 1e6, X, LENGTHS, tmp_path / "a.f16", block_clips=2)


def test_a_full_disk_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(click.ClickException, match="cannot be written"):
        once(tmp_path / "file/a.f16", Lower())


def test_the_digest_is_of_the_content() -> None:
    assert frozen.digest(X, LENGTHS) == frozen.digest(X.clone(), LENGTHS)
    assert frozen.digest(X) != frozen.digest(X + 1)
