"""The `earmark` command: the commands people type, each imported only when it is called."""

from importlib import import_module

import click

COMMANDS = {  # in the order of work
    "sample": ("curation.sample", "Make a demonstration corpus with planted faults."),
    "import": ("curation.importer", "Bring recordings and labels into data/raw and data/raw.csv."),
    "weights": ("training.weights", "Fetch pretrained weights of a Wav2Vec 2.0, for runs without a network."),
    "annotate": ("curation.annotate", "Have people listen, in Label Studio, and fetch their answers."),
    "push": ("curation.push", "Bring the Label Studio project up to date with the queue."),
    "pull": ("curation.pull", "Bring people's answers home, from the server or from an export."),
    "status": ("curation.status", "Say how far people are with the queue."),
    "serve": ("training.serve", "Serve a model to Label Studio, as its ML backend."),
    "explain": ("training.explain", "Show where in clips a model finds what it says."),
    "diff": ("training.review", "Say what changed in data, metrics and params between two revisions."),
    "merge": ("curation.merge", "Merge the answers of two branches; git calls it."),
    "seal": ("curation.seal", "Seal the test set, so that no change to it goes unsaid."),
    "gate": ("curation.gate", "Pass or fail the models of this revision."),
    "card": ("training.card", "Write the cards of data and models, to publish them with."),
}


class _Commands(click.Group):
    """A group that knows its commands by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).main
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.main must be a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nearmark: interrupted. Run the same command again to go on.", err=True)
            ctx.exit(130)


EPILOG = """\b
The stages run by `dvc repro`; these commands stand beside them:
  earmark import recordings/       bring in a folder per class
  dvc repro                        cut, score, flag, train, evaluate
  earmark annotate                 hear what is doubtful, in the browser
  earmark diff main                what changed since main

\b
Exit status:
  0    done
  1    refused, with the next step in the message; or the answer is no
       (`diff --exit-code`, `gate`)
  2    a command line that makes no sense
  130  interrupted by Ctrl-C
"""


@click.group(cls=_Commands, epilog=EPILOG)
@click.version_option(package_name="earmark", message="%(prog)s %(version)s")
def main() -> None:
    """Find the wrong labels in small sets of sound clips, fix them, and prove that the model did not collapse."""


if __name__ == "__main__":
    main(prog_name="earmark")
