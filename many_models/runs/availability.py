"""Which learners of a configuration are not installed here: said by name, with what installs them."""

from __future__ import annotations

from many_models.automl.candidates import GUARD, learner_names
from many_models.errors import Problem, SpecError
from many_models.learners.table import installation
from many_models.panel.findings import Finding, finding
from many_models.spec import ForecastSpec


def unavailable(spec: ForecastSpec) -> tuple[Finding, ...]:
    """A finding that names the learners to try that are not installed; none where all are.

    Raises
    ------
    SpecError
        Where the configuration allows none that is installed.
    """
    chosen = spec.learners
    names = learner_names(chosen.preset, chosen.allow, chosen.block)
    lacking = {name: command for name in names if (command := installation(name)) is not None}
    if not lacking:
        return ()
    commands = " and ".join(dict.fromkeys(lacking.values()))
    if chosen.allow is not None and not {*chosen.allow} - {*lacking, *(chosen.block or ())}:
        raise SpecError(
            Problem(
                "learners.allow",
                f"{', '.join(lacking)}, not installed here",
                "at least one learner that is installed",
                f"{commands} (on Spark for its workers too); or allow others, such as {GUARD[0]}",
            )
        )
    message = f"not installed here: {', '.join(lacking)}"
    return (finding("LEARNER_UNAVAILABLE", len(lacking), message=message, action=commands),)
