"""Bring files into a folder, all of them or none."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from tqdm import tqdm


@contextmanager
def placed(files: Mapping[str, Path], folder: Path, *, link: bool) -> Iterator[None]:
    """Bring `files` into `folder`; when that or the block fails or is interrupted, nothing has changed.

    Args:
        files: where they come from, by the name they get in the folder, where nothing has that name.
        folder: it and its parents are made when there is none.
        link: as hard links instead of copies.

    Raises:
        click.ClickException: the file system refuses, or another such import is running.
    """
    try:
        with _staging(folder) as staged:
            for name, path in tqdm(files.items(), desc="import", unit="file", leave=False, delay=1, disable=None):
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                if link:
                    (staged / name).hardlink_to(path.resolve())
                else:
                    shutil.copyfile(path, staged / name)
            with _moved(files, staged, folder):
                yield
    except OSError as error:
        why = error.strerror or str(error)
        advice = "Hard links need one file system: use `--copy`." if link else "Make room or mend the permissions."
        raise click.ClickException(f"{error.filename or folder}: {why}. Nothing was changed. {advice}") from error


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`, on the same file system; its being there keeps a second import out."""
    staged = folder.with_name(f".{folder.name}.import")
    is_first = not folder.parent.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        staged.mkdir()
    except FileExistsError as error:
        raise click.ClickException(
            f"{staged} is there: another import is running, or one was killed. If none runs, remove that folder."
        ) from error
    try:
        yield staged
    finally:
        shutil.rmtree(staged)
        if is_first and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


@contextmanager
def _moved(names: Iterable[str], staged: Path, folder: Path) -> Iterator[None]:
    """Move the staged files into `folder`, and out again when the block fails."""
    with ExitStack() as undo:
        for name in names:
            for parent in reversed((folder / name).parents):
                if not parent.exists():
                    parent.mkdir()
                    undo.callback(parent.rmdir)
            undo.callback((folder / name).unlink, missing_ok=True)
            (staged / name).rename(folder / name)
        yield
        undo.pop_all()
