"""The command `tladapt`: one command a file; each is loaded when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

__all__ = ["main", "run_app"]


def main() -> None:
    """Run the command line and exit with its status."""
    from tladapt.cli.app import app

    sys.exit(run_app(app))


def run_app(app: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a click command and return its exit status, after one message on stderr where something went wrong.

    What is no mistake of the user's (a `ValueError` of a library, say) passes through with its traceback.

    Args:
      app: the command.
      arguments: its arguments; None: those of the process.

    Returns:
      0 on success, 2 on a user's mistake, 1 where training diverged or stdout was closed, 130 after Ctrl-C.
    """
    import click

    from tladapt.errors import DivergenceError, TladaptError

    try:
        status = app.main(arguments, prog_name="tladapt", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        click.echo(f"Error: {_in_words(error)}", err=True)
        return 2
    except click.Abort as error:  # click's word for Ctrl-C; what the run had to say is in its cause
        click.echo(str(error.__cause__ or "") or "interrupted", err=True)
        return 130
    except DivergenceError as error:
        if error.__cause__ is not None:  # --debug: where it happened
            import traceback

            traceback.print_exception(error.__cause__)
        click.echo(f"Error: {error}", err=True)
        return 1
    except TladaptError as error:
        click.echo(f"Error: {error}", err=True)
        return 2
    except BrokenPipeError:
        return 1
    return status if isinstance(status, int) else 0


def _in_words(error: click.ClickException) -> str:
    """Return click's message in one line, ending with where to read more."""
    import click

    text = error.format_message().rstrip(".")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        parameter = error.param
        text = f"{parameter.metavar} is missing"
        if isinstance(parameter, click.Option):
            text = f"{parameter.opts[0]} {text}: {(parameter.help or '').rstrip('.')}"
    context = getattr(error, "ctx", None)
    where = "" if context is None else f" See '{context.command_path} --help'."
    return f"{text}{'' if text.endswith('?') else '.'}{where}"
