"""The command `tladapt`: one command a file; each is loaded when it is called."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit 0 on success, 2 on a user's mistake with one clear message, 130 on Ctrl-C."""
    from tladapt.cli.app import app

    sys.exit(run_app(app))


def run_app(app: object) -> int:
    """Run a click command and return its exit status."""
    import click

    from tladapt.errors import DivergenceError, TladaptError

    try:
        app.main(standalone_mode=False)  # type: ignore[attr-defined]
    except click.ClickException as error:
        error.show()
        return 2
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo(f"\n{str(error) or 'interrupted'}", err=True)
        return 130
    except DivergenceError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    except TladaptError as error:
        click.echo(f"Error: {error}", err=True)
        return 2
    except BrokenPipeError:
        return 1
    return 0
