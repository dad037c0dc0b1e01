"""The command `earmark diff`: what changed between two revisions, for a pull request and for a person."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import click
import pyarrow

from curation import params, versions
from curation.changes import markdown
from curation.diff import diff
from curation.markdown import code
from curation.snapshot import Snapshot, parse
from curation.verdict import Changes, verdict
from training.compare import compare

SCHEMA = 1  # of the JSON; it rises when a key changes its meaning or goes
TABLES = ("clips", "labels", "groups", "folds", "train", "rejects", "reviews")
FOR_THE_PAGE = ("flags", "scores")
LESS = ("reviews", "groups")  # without them there were no answers yet, and the groups are those given
_one_parses = threading.Lock()  # what parsing needs beside the files is more than they, and given back
EPILOG = """\b
A and B are branches, tags or commits. Without A: where this branch left main.
Without B: the files as they are here.

\b
Examples:
  earmark diff                     this branch, with what is not committed
  earmark diff HEAD                what is not committed
  earmark diff v1 v2 > review.md   two releases
  earmark diff --html review.html  to listen to what changed
  earmark diff --json main HEAD

\b
Exit status: 0 done; 1 something changed, with --exit-code; 2 no such revision,
or one that cannot be read; 130 interrupted.
"""


@dataclass(frozen=True)
class Revision:
    """One side of a comparison."""

    name: str
    commit: str | None  # None: the workspace
    snapshot: Snapshot
    notes: tuple[str, ...]  # what could not be read, in Markdown
    paths: Mapping[str, Path]  # of the tables that it has or lacks; not of those that `notes` tell of


def revision(name: str | None, data: Path, metrics: Path, tables: Sequence[str]) -> Revision:
    """Read what the revision `name` holds of `tables`, predictions, metrics and params; None: the workspace.

    Raises:
        versions.RevisionError: there is no such revision, or it holds nothing, or what cannot be read.
    """
    commit = None if name is None else versions.resolve(name)
    shown = name or "the files here"
    predictions = data / "predictions"
    paths = {table: data / f"{table}.csv" for table in tables}
    paths |= {"metrics": metrics, "shifts": metrics.with_name("shifts.json"), "params": params.PATH}
    paths |= {f"predictions/{Path(file).stem}": predictions / file for file in versions.names(predictions, commit)}
    texts, notes = {}, []
    for table, path in paths.items():
        try:
            texts[table] = versions.read(path, commit)
        except FileNotFoundError as error:
            notes.append(f"{code(str(error))}: `dvc fetch --all-commits` brings it, if the remote has it.")
    if not any(texts.values()):
        raise versions.RevisionError(
            f"{shown} has none of {', '.join(map(str, paths.values()))}. "
            "Run this in the folder of dvc.yaml, and name a revision that has them."
        )
    if commit is None and (open_changes := versions.uncommitted([data, metrics, params.PATH])):
        notes.append(
            f"Not committed: {', '.join(map(code, open_changes[:5]))}{' ...' if len(open_changes) > 5 else '.'}"
        )
    try:
        with _one_parses:
            snapshot = parse(texts)
        return Revision(shown, commit, snapshot, tuple(notes), {name: paths[name] for name in texts})
    except ValueError as error:
        table, _, why = str(error).partition(": ")
        place = f"{paths[table]} of {shown}"
        raise versions.RevisionError(f"{place} cannot be read: {why}. `git log -- {paths[table]}` shows it.") from error


def told(one: Revision, other: Revision) -> Revision:
    """Return a side with a note on the tables and columns that only the other has, without which less is compared."""
    names = (name.partition(".") for name in sorted(one.snapshot.lacks - other.snapshot.lacks))
    lacking = [
        f"{code(column)} in {code(str(one.paths[table]))}" if column else code(str(one.paths[table]))
        for table, _, column in names
        if table in one.paths and (column or table not in LESS)
    ]
    note = f"{code(one.name)} has no {', '.join(lacking)}: what these would tell is not compared."
    return replace(one, notes=(note, *one.notes)) if lacking else one


def _as_json(changes: Changes, before: Revision, after: Revision) -> str:
    sides = {
        when: {"revision": side.name, "commit": side.commit, "notes": side.notes}
        for when, side in (("before", before), ("after", after))
    }
    content = {"schema": SCHEMA, **sides, "verdict": verdict(changes), "changes": changes}
    return json.dumps(content, indent=2, default=str, ensure_ascii=False, allow_nan=False)


def _write_html(changes: Changes, before: Revision, after: Revision, data: Path, path: Path) -> Path:
    """Write the page for a person; sounds come from the folder of clips, or from DVC as each side had them."""
    from curation import cards, clips, html, vectors  # take seconds to import, for those who ask only

    notes = [note.replace("`", "") for note in _notes(before, after)]
    try:
        known = vectors.read(data / "features")
    except click.ClickException as error:
        known = None
        notes.append(f"No nearest clips are shown: {error.message}")

    def sound(clip_id: str) -> bytes:
        file = clips.clip_path(clip_id, data / "clips")
        if file.parent != data / "clips":
            raise FileNotFoundError(f"{clip_id} is no name of a clip.")
        for commit in dict.fromkeys([None, after.commit, before.commit]):  # the name is a hash: all hold the same
            with contextlib.suppress(FileNotFoundError):  # DVC's cache may lack one side
                if content := versions.read(file, commit):
                    return content
        raise FileNotFoundError(f"{file} is not here: `dvc pull` brings it, for an old revision after `git checkout`.")

    texts = {
        "before": before.name,
        "after": after.name,
        "verdict": verdict(changes).replace("`", ""),
        "notes": notes,
        "rejects": changes.get("rejects", {}).get("added", []),
    }
    found = cards.cards(changes, before.snapshot, after.snapshot, known)
    return html.write(found, sound, path, rate_hz=params.Data.load("data").rate_hz, texts=texts)


def _notes(*sides: Revision) -> Iterator[str]:
    return (note for side in sides for note in side.notes)


@click.command(epilog=EPILOG)
@click.argument("before", metavar="[A]", required=False)
@click.argument("after", metavar="[B]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON, all of them.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a page to listen to what changed; beyond 25 MB a folder of that name.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 when anything changed.")
@click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Where the tables are."
)
@click.option(
    "--metrics", type=click.Path(path_type=Path), default="reports/metrics.json", show_default=True, help="The metrics."
)
@click.pass_context
def main(
    context: click.Context,
    before: str | None,
    after: str | None,
    as_json: bool,
    page: Path | None,
    exit_code: bool,
    data: Path,
    metrics: Path,
) -> None:
    """Say what changed in clips, labels, models and params from revision A to B, as Markdown."""
    names = (before or versions.branching_point()[:10], after)
    tables = (*TABLES, *FOR_THE_PAGE) if page else TABLES
    with ThreadPoolExecutor() as pool:  # git unpacks one side while the other is parsed
        sides = list(pool.map(lambda name: revision(name, data, metrics, tables), names))
    pyarrow.default_memory_pool().release_unused()  # what parsing took
    sides = [told(one, other) for one, other in (sides, sides[::-1])]
    snapshots = [side.snapshot for side in sides]
    with ThreadPoolExecutor() as pool:  # NumPy works beside Python
        compared = pool.submit(compare, *snapshots)
        changes = diff(*snapshots)
    if comparison := compared.result():
        changes["comparison"] = comparison
    if as_json:
        click.echo(_as_json(changes, *sides))
    else:
        click.echo(markdown(changes, before=sides[0].name, after=sides[1].name, notes=_notes(*sides)))
    if page:
        click.echo(f"diff: {_write_html(changes, sides[0], sides[1], data, page)}", err=True)
    context.exit(1 if exit_code and changes else 0)


if __name__ == "__main__":
    main()
