"""The shape of the package, proved: what loads when, what is never imported, what is documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "many_models"
SOURCES = sorted(PACKAGE.rglob("*.py"))

HEAVY = (
    "pyspark",
    "mlflow",
    "torch",
    "pytorch_lightning",
    "prophet",
    "cmdstanpy",
    "statsforecast",
    "statsmodels",
    "pmdarima",
    "sklearn",
    "lightgbm",
    "matplotlib",
)
"""Imported inside functions, where they are used, and never when a module is loaded."""

CODE_LOADERS = ("pickle", "_pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve")
"""What would turn a stored model into code."""

LOADED_LATE = ("many_models/learners/tcn_training.py",)
"""Modules that are made of a heavy library's own classes, and are themselves imported where they are used."""

PRIVATE_PIPE = ("many_models/engines/child.py", "many_models/engines/guarded.py")
"""A process and its own child talk by pickles over a private pipe: never stored, never from outside."""


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Every absolute import below a node: the top-level name and its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module.split(".")[0], node.lineno))
    return found


def statements_at_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that run when a module is loaded: not the bodies of functions or TYPE_CHECKING."""
    running: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            running += statements_at_import(node.orelse)
            continue
        inner = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
        inner += [handler.body for handler in getattr(node, "handlers", [])]
        if any(inner):
            for part in inner:
                running += statements_at_import(part)
        else:
            running.append(node)
    return running


def place(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


@pytest.mark.parametrize("module", ["many_models", "many_models.cli.main"])
def test_importing_loads_nothing_heavy(module):
    program = f"import sys, {module}; print(*sorted(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_importing_changes_no_setting_of_mlflow_or_spark():
    program = (
        "import os; before = dict(os.environ); import many_models, many_models.cli.main;"
        "print(*(k for k in os.environ if before.get(k) != os.environ[k]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_heavy_libraries_are_imported_where_they_are_used():
    found = []
    for path in SOURCES:
        late = place(path) in LOADED_LATE
        for statement in statements_at_import(ast.parse(path.read_text(encoding="utf-8")).body):
            source = ast.unparse(statement)
            modules = [module.removesuffix(".py").replace("/", ".") for module in LOADED_LATE]
            found += [f"{place(path)} {module}" for module in modules if module in source]
            heavy = [] if late else [(n, line) for n, line in imports(statement) if n in HEAVY]
            found += [f"{place(path)}:{line} {name}" for name, line in heavy]
    assert found == []


def test_nothing_that_loads_code_from_data_is_imported():
    found = []
    for path in SOURCES:
        if place(path) in PRIVATE_PIPE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{place(path)}:{line} {name}" for name, line in imports(tree) if name in CODE_LOADERS]
    assert found == []


def test_numpy_files_are_never_read_with_objects():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                    found.append(f"{place(path)}:{node.value.lineno}")
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("eval", "exec")
            ):
                found.append(f"{place(path)}:{node.lineno} {node.func.id}")
    assert found == []


def test_no_chance_comes_from_the_global_generator():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or ast.unparse(node.value) not in (
                "np.random",
                "numpy.random",
            ):
                continue
            if node.attr not in ("default_rng", "Generator", "SeedSequence", "PCG64"):
                found.append(f"{place(path)}:{node.lineno} np.random.{node.attr}")
    assert found == []


def public(body: list[ast.stmt], inside: str = "") -> list[tuple[str, ast.AST]]:
    """Public functions, classes and methods, with their dotted names."""
    found: list[tuple[str, ast.AST]] = []
    for node in body:
        if not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) or node.name.startswith("_"):
            continue
        # The setter of a property and the overloads of a function say nothing of their own.
        decorators = {ast.unparse(d).split("(")[0].rsplit(".", 1)[-1] for d in node.decorator_list}
        if decorators & {"setter", "overload", "override"}:
            continue
        found.append((inside + node.name, node))
        if isinstance(node, ast.ClassDef):
            found += public(node.body, f"{inside}{node.name}.")
    return found


def inherited(tree: ast.Module) -> set[str]:
    """Methods whose meaning stands in a contract: those of a Protocol of this package."""
    return {
        f"{node.name}.{item.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef) and item.name in CONTRACT_METHODS
    }


def protocol_methods() -> set[str]:
    """Names of the methods that a Protocol of the package documents."""
    names: set[str] = set()
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
                names |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


CONTRACT_METHODS = protocol_methods()


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_everything_public_says_what_it_is(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [] if ast.get_docstring(tree) else [place(path)]
    documented_elsewhere = inherited(tree)
    for name, node in public(tree.body):
        if name not in documented_elsewhere and not ast.get_docstring(node):
            silent.append(f"{place(path)}:{node.lineno} {name}")
    assert silent == []


def test_statements_at_import_sees_through_blocks():
    source = """
import a
try:
    import b
except ImportError:
    import c
if TYPE_CHECKING:
    import d
else:
    import e
class K:
    import f
    def m(self):
        import g
def h():
    import i
"""
    names = [n for s in statements_at_import(ast.parse(source).body) for n, _ in imports(s)]
    assert sorted(names) == ["a", "b", "c", "e", "f"]
