"""The command `many-models`: reads arguments, calls one function of `runs`, prints.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done; 2 the user's input is
wrong; 3 finished, but more series failed than the configuration allows; 4 something outside
failed; 130 cancelled; 1 a bug.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from many_models.errors import Cancelled, InputError, ManyModelsError, OutsideError

if TYPE_CHECKING:
    from many_models.runs.run import Run
    from many_models.spec import ForecastSpec

app = typer.Typer(
    name="many-models",
    help="Thousands of independent AutoML forecasters, used as easily as one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TOO_MANY_FAILED = 3

_REACH = (
    "start the registry, or set MLFLOW_TRACKING_URI to one that answers, and give the command again; "
    "with registry.name: null it trains without one, and `many-models register RUN_DIR NAME` registers later"
)

Config = Annotated[Path, typer.Argument(help="Configuration file (YAML).")]
Data = Annotated[str | None, typer.Option(help="Read this file or folder instead of data.path.")]
Model = Annotated[
    str,
    typer.Argument(
        help="Model URI (models:/orange_juice@champion, models:/orange_juice/3) or run directory."
    ),
]
Verbosity = Annotated[
    Literal["error", "warning", "info", "debug"],
    typer.Option(
        help="What stderr is told: errors alone, without a progress bar; warnings; each step of the run; "
        "each group."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


@app.callback()
def _about() -> None:
    """Thousands of independent AutoML forecasters, used as easily as one."""


@app.command()
def check(
    config: Config,
    data: Data = None,
    json: Json = False,
    mutations: Annotated[
        Path | None,
        typer.Option(
            help="Also write every value that preparation changes, before and after (.parquet, .csv)."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Only these series in --mutations; may be repeated.", metavar="COL=VALUE"),
    ] = None,
    verbosity: Verbosity = "warning",
) -> int:
    """Validate the configuration and the data, print every problem at once, train nothing."""
    from many_models.cli import output
    from many_models.runs.check import check_source

    if key and mutations is None:
        raise typer.BadParameter("--key chooses series of --mutations: give --mutations OUT.parquet too")
    try:
        if mutations is not None:
            _write_mutations(_spec(config, data), mutations, key or [], verbosity)
        output.print_check(check_source(None, _spec(config, data), progress=_progress(verbosity)), json)
    except InputError as wrong:
        if not json:
            raise
        # What is wrong is what was asked for, so that it belongs on stdout like any other result.
        for problem in wrong.problems:
            output.print_json(output.problem_record(problem))
        return wrong.exit_code
    return 0


@app.command()
def train(
    config: Config,
    data: Data = None,
    engine: Annotated[
        str | None, typer.Option(help="local, spark, spark://HOST:PORT or sc://HOST; default engine.kind.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Train only the first N keys in key order.")] = None,
    cutoff: Annotated[str | None, typer.Option(help="Read nothing later than this date.")] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run; default runs/<name>-<UTC time>.")
    ] = None,
    register: Annotated[
        str | None, typer.Option(help="Register the run under this name; default registry.name.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Train only failed, stale, changed, drifted or new series; may be repeated; needs --base.",
            metavar="WORD",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Model URI or run directory that gives the series which --only leaves alone."),
    ] = None,
    test: Annotated[
        int | None,
        typer.Option(help="Hide so many last steps from the search and score them; default validation.test."),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Train a pilot alone, and print what the run would cost.")
    ] = False,
    verbosity: Verbosity = "warning",
) -> int:
    """Train one forecaster per key and write the run directory, which is printed last."""
    from many_models.cli import output
    from many_models.runs.directory import default_directory
    from many_models.runs.registration import reach_registry
    from many_models.runs.train import train as train_run

    spec = _spec(config, data)
    overrides: dict[str, Any] = {}
    if engine is not None:
        overrides["engine.kind"] = engine
    if register is not None:
        overrides["registry.name"] = register
    if test is not None:
        overrides["validation.test"] = test
    spec = spec.replace(overrides) if overrides else spec
    if estimate:
        if only or base:
            raise typer.BadParameter("--estimate is of a run over all series: leave out --only and --base")
        from many_models.runs.estimate import estimate as estimate_run

        output.print_estimate(
            estimate_run(None, spec, limit=limit, cutoff=cutoff, progress=_progress(verbosity))
        )
        return 0
    if spec.registry.name is not None:
        # Hours of training must not end at a registry that was never there.
        try:
            reach_registry(spec)
        except OutsideError as trouble:
            raise type(trouble)(trouble.message, _REACH) from trouble
    target = run_dir or default_directory(spec.name)
    with _stopped_kindly(target):
        run = train_run(
            None,
            spec,
            run_dir=target,
            limit=limit,
            cutoff=cutoff,
            only=only,
            base=base,
            progress=_progress(verbosity),
        )
    return _finish(run)


@app.command()
def resume(
    run_dir: Annotated[Path, typer.Argument(help="The directory of a run that was interrupted.")],
    verbosity: Verbosity = "warning",
) -> int:
    """Finish an interrupted run; refit nothing that is done."""
    from many_models.cli import output
    from many_models.runs.resume import is_finished
    from many_models.runs.resume import resume as resume_run

    if is_finished(run_dir):
        output.message("the run is finished: there is nothing to do")
        output.line(str(run_dir))
        return 0
    with _stopped_kindly(run_dir):
        run = resume_run(run_dir, progress=_progress(verbosity))
    resumed = run.summary.get("resumed", {"kept": 0, "refitted": 0})
    output.message(f"{resumed['kept']} series were finished before; {resumed['refitted']} fitted again")
    return _finish(run)


@app.command()
def backtest(
    config: Config,
    data: Data = None,
    origins: Annotated[int, typer.Option(help="How many past cutoffs are replayed.")] = 4,
    step: Annotated[int | None, typer.Option(help="Periods between them; default the horizon.")] = None,
    refit: Annotated[
        bool, typer.Option(help="Train at every origin, or at the first and move the state to the others.")
    ] = True,
    limit: Annotated[int | None, typer.Option(help="Only the first N keys in key order.")] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder for the rows; default runs/<name>-backtest-<UTC time>.")
    ] = None,
    verbosity: Verbosity = "warning",
) -> int:
    """Replay past days, everything as a run would do it then, and score what it forecast."""
    from many_models.cli import output
    from many_models.runs.backtest import backtest as replay

    found = replay(
        None,
        _spec(config, data),
        origins=origins,
        step=step,
        refit=refit,
        limit=limit,
        run_dir=run_dir,
        progress=_progress(verbosity),
    )
    output.print_backtest(found.summary)
    output.line(str(found.directory))
    return 0


@app.command()
def forecast(
    model: Model,
    out: Annotated[Path, typer.Option(help="Where the forecasts are written (.parquet or .csv).")],
    data: Annotated[str | None, typer.Option(help="Newer history: moves the state, parameters stay.")] = None,
    future: Annotated[
        str | None, typer.Option(help="Keys, times and known covariates to forecast; answered row by row.")
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast without --future.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Only series with COL=VALUE; may be repeated.", metavar="COL=VALUE"),
    ] = None,
    paths: Annotated[
        int | None, typer.Option(help="Write so many simulated futures of each series in place of quantiles.")
    ] = None,
    missing_model: Annotated[
        Literal["empty", "error", "pooled", "naive"] | None,
        typer.Option(help="Series of --data that were not trained; default as in the configuration."),
    ] = None,
) -> int:
    """Forecast the next steps of each series, or exactly the rows asked for."""
    from many_models.cli import output
    from many_models.runs.models import open_models
    from many_models.runs.tables import read_table, refuse_ending, write_table

    refuse_ending(out)
    models = open_models(model)
    history = None if data is None else read_table(data)
    rows = None if future is None else read_table(future)
    where = models.parse_key(key or [])
    if paths is None:
        frame = models.forecast(history, rows, horizon, where, missing_model)
    else:
        frame = models.simulate(paths, history, rows, horizon, where)
    write_table(frame, out)
    missing = int(frame["mean" if paths is None else "value"].isna().sum())
    note = f", {missing} without a forecast (see reason)" if missing else ""
    output.message(f"{len(frame)} rows{note}")
    output.line(str(out))
    return 0


@app.command()
def find(
    model: Model,
    key: Annotated[
        list[str] | None,
        typer.Argument(
            help="COL=VALUE of the key columns; of some of them: the keys that have these values.",
            metavar="COL=VALUE ...",
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The version that the alias named on this date.", metavar="DATE")
    ] = None,
    json: Json = False,
) -> int:
    """Show which learner serves a key, its scores, version and lineage; or list the keys of a part of one."""
    from many_models.cli import output
    from many_models.runs.models import open_models

    if as_of is not None:
        from many_models.runs.registration import version_as_of

        model = version_as_of(model, as_of).uri

    models = open_models(model)
    where = models.parse_key(key or [])
    if where and len(where) < len(models.key_columns):
        output.print_keys(models.keys(where), json)
    else:
        output.print_record(models.find(where).record, json)
    return 0


@app.command()
def register(
    run_dir: Annotated[Path, typer.Argument(help="A finished run directory.")],
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
) -> int:
    """Register a finished run, for instance when the registry was down."""
    from many_models.runs.run import open_run

    _register(open_run(run_dir), name)
    return 0


@app.command()
def versions(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")], json: Json = False
) -> int:
    """List the versions of a registered model."""
    from many_models.cli import output
    from many_models.runs.registration import registry

    output.print_versions(registry().versions(name), json)
    return 0


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    version: Annotated[int, typer.Argument(help="The version the alias moves to.")],
    alias: Annotated[str, typer.Option(help="The alias to move.")] = "champion",
    only_better: Annotated[
        bool,
        typer.Option(
            "--only-better",
            help="Move it to a version in which each series keeps whichever model was better.",
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(help="With --only-better: a table with values that came after both were trained."),
    ] = None,
    verbosity: Verbosity = "warning",
) -> int:
    """Move an alias to a version, or to the better models of two."""
    from many_models.cli import output
    from many_models.runs.promotion import promote as promote_version

    if data is not None and not only_better:
        raise typer.BadParameter("--data is what both versions are judged on: give --only-better too")
    found = promote_version(
        name, version, alias=alias, only_better=only_better, data=data, progress=_progress(verbosity)
    )
    if found.contest is not None:
        output.print_contest(found.summary)
    if found.version == found.before and only_better:
        output.line(f"models:/{name}@{alias} stays version {found.version}")
        return 0
    made = " of both" if found.composed else ""
    was = "was not set" if found.before is None else f"was version {found.before}"
    output.line(f"models:/{name}@{alias} is version {found.version}{made} ({was})")
    return 0


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    alias: Annotated[str, typer.Option(help="The alias to move back.")] = "champion",
) -> int:
    """Move an alias back to the version that it named before."""
    from many_models.cli import output
    from many_models.runs.promotion import rollback as roll_back

    was, now = roll_back(name, alias)
    output.line(f"models:/{name}@{alias} is version {now} (was version {was})")
    return 0


@app.command()
def monitor(
    model: Model,
    data: Annotated[str, typer.Option(help="A table with values that came after the models were trained.")],
    cutoff: Annotated[str | None, typer.Option(help="Read nothing later than this date.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for what is found; default runs/<name>-monitor-<UTC time>.")
    ] = None,
    log: Annotated[
        bool, typer.Option(help="Also log it to the MLflow run of the version that is monitored.")
    ] = True,
    json: Json = False,
    verbosity: Verbosity = "warning",
) -> int:
    """Compare forecasts with what came: by step, by age, and which series to train again."""
    from many_models.cli import output
    from many_models.runs.monitor import monitor as look

    found = look(model, data, cutoff=cutoff, out=out, log=log, progress=_progress(verbosity))
    if json:
        for record in found.records():
            output.print_json(record)
        return 0
    output.print_monitor(found.summary, found.series())
    output.line(str(found.directory))
    return 0


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; default report.html in the run directory.")
    ] = None,
) -> int:
    """Write the HTML report of a run."""
    from many_models.cli import output
    from many_models.runs.run import open_run

    output.line(str(open_run(run_dir).report(out)))
    return 0


def _spec(config: Path, data: str | None) -> ForecastSpec:
    from many_models.spec import ForecastSpec

    spec = ForecastSpec.from_yaml(config)
    return spec if data is None else spec.replace({"data.path": data, "data.table": None})


@contextmanager
def _stopped_kindly(run_dir: Path) -> Iterator[None]:
    """A run under way: Ctrl-C and SIGTERM end it as cancelled, and the message says how it goes on."""
    from many_models.runs.directory import cancelled_message

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Cancelled(cancelled_message(run_dir) if run_dir.exists() else "cancelled") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(run: Run) -> int:
    """The exit code of a finished run, which is summed up, registered where asked for, and printed last."""
    from many_models.cli import output

    spec, summary = run.spec, run.summary
    output.print_summary(summary)
    try:
        if spec.registry.name is not None:
            _register(run, spec.registry.name)
    finally:
        # The run is whole whatever the registry says, and scripts read where it lies from the last line.
        output.line(str(run.directory))
    if not summary["too_many_failed"]:
        return 0
    output.message(
        f"{summary['failed_fraction']:.1%} of the series failed, more than "
        f"budget.max_failed_fraction {spec.budget.max_failed_fraction:.1%}; see {run.directory}/results"
    )
    return TOO_MANY_FAILED


def _write_mutations(spec: ForecastSpec, out: Path, key: list[str], verbosity: str) -> None:
    from many_models.cli import output
    from many_models.runs.mutations import mutation_table
    from many_models.runs.tables import refuse_ending, write_table

    refuse_ending(out)
    table = mutation_table(None, spec, key, progress=_progress(verbosity))
    write_table(table.to_pandas(), out)
    output.message(f"{table.num_rows} changes of values written to {out}")


def _progress(verbosity: str = "warning") -> Any:
    """Progress bars, unless errors alone are asked for; what is logged goes to stderr from there on."""
    from many_models.cli import output
    from many_models.runs.progress import Progress

    output.tell_from(verbosity)
    return Progress(visible=verbosity != "error")


def _register(run: Run, name: str) -> None:
    from many_models.cli import output

    version = run.register(name)
    alias = f", alias {version.alias}" if version.alias else "; the alias was not moved"
    output.message(f"registered models:/{version.name}/{version.version}{alias}")
    promotion = run.summary.get("promotion")
    if promotion and promotion.get("contest"):
        output.print_contest(promotion["contest"])
        output.message(f"models:/{version.name}@{promotion['alias']} is version {promotion['version']}")


# Typer has brought its own click since 0.26 and stood on the package click before: its public exception
# leads to the one that all misuse of a command line is made of, in either.
_MISUSE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(guarded(lambda: app(standalone_mode=False)))


def guarded(command: Callable[[], Any]) -> int:
    """The exit code of a command; what went wrong is told on stderr. The edge of one command."""
    from many_models.cli import output

    try:
        with output.warnings_on_stderr():
            result = command()
        return result if isinstance(result, int) else 0
    except typer.Exit as stop:
        return int(stop.exit_code)
    except _MISUSE as wrong:
        wrong.show(file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        output.message("cancelled")
        return Cancelled.exit_code
    except InputError as wrong:
        output.print_problems(wrong.problems)
        return wrong.exit_code
    except ManyModelsError as trouble:
        output.message(str(trouble).strip())
        return trouble.exit_code
    except BrokenPipeError:
        return 0
    except OSError as trouble:
        # A full disk, a folder that went away: outside of us, whoever met it.
        output.message(f"the system refused: {trouble}")
        return OutsideError.exit_code
