"""Feature families of the user's own, offered by installed packages.

A package offers one by an entry point of the group `many_models.features`, whose name is the
family's and whose object keeps the contract of `features.base.Family`. It is imported only where a
configuration names it (`features.own`), or a model that was trained with it is opened.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from many_models.errors import LookupFailed, Problem, nearest

if TYPE_CHECKING:
    from many_models.features.base import Family

GROUP = "many_models.features"


def offered() -> tuple[str, ...]:
    """The names of all families that installed packages offer."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


@cache
def own_family(name: str) -> type[Family]:
    """The family of that name.

    Raises
    ------
    LookupFailed
        Where no installed package offers it, or what it offers is no family of that name.
    """
    for point in entry_points(group=GROUP, name=name):
        family = point.load()
        if getattr(family, "name", None) != name or not hasattr(family, "decide"):
            found = f"{point.value}, which is no feature family called {name!r}"
            raise LookupFailed(Problem("features.own", found, "a class with this `name` and `decide`", ""))
        return cast("type[Family]", family)
    near = nearest(name, offered())
    raise LookupFailed(
        Problem(
            "features.own",
            repr(name),
            ", ".join(offered()) or f"none is installed (entry points of the group {GROUP!r})",
            f"did you mean {near}?" if near else "install the package that offers it, on the workers too",
        )
    )
