"""A version's files as MLflow wants them: the MLmodel, the environment, and the bundle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from many_models.errors import InputError, LookupFailed, Problem, RegistryError
from many_models.registry.records import MODEL_FOLDER, Column, Flavor

_MAX_MLMODEL_BYTES = 2**20


def save_model(folder: Path, bundle: Path, flavor: Flavor, run_id: str) -> None:
    """Write the model as MLflow wants it: MLmodel, environment files and the bundle."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature

    requirements = list(flavor.requirements)
    if flavor.wheel is not None:
        wheel = Path(flavor.wheel)
        if not wheel.is_file():
            raise InputError(
                Problem("registry.wheel", f"{wheel}, which does not exist", "the path of a wheel")
            )
        # The wheel stands for the line that names its package. MLflow installs requirements from
        # within the model's folder.
        requirements = [line for line in requirements if _package(line) != _package(wheel.name)]
        requirements.append(f"wheels/{wheel.name}")
    pyfunc.save_model(
        str(folder),
        loader_module=flavor.loader_module,
        data_path=str(bundle),
        mlflow_model=Model(artifact_path=MODEL_FOLDER, run_id=run_id),
        signature=ModelSignature(_schema(flavor.columns), _schema(flavor.outputs)),
        pip_requirements=requirements,
    )
    if flavor.wheel is not None:
        copy(Path(flavor.wheel), folder / "wheels" / Path(flavor.wheel).name)


def data_path(mlmodel: Path, uri: str) -> str:
    """The path of the bundle within a model's folder, as its MLmodel says."""
    import yaml

    not_ours = LookupFailed(Problem(uri, "a model that many-models did not make", "a registered bundle"))
    try:
        if mlmodel.stat().st_size > _MAX_MLMODEL_BYTES:
            raise not_ours
        document = yaml.safe_load(mlmodel.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise not_ours from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RegistryError(f"the MLmodel of {uri} cannot be read: {error}") from None
    match document:
        case {"flavors": {"python_function": {"data": str(data), "loader_module": str()}}}:
            path = PurePosixPath(data)
            if path.parts and not path.is_absolute() and ".." not in path.parts:
                return str(path)
    raise not_ours


def copy(source: Path, target: Path) -> None:
    """`target` holds what the file or folder `source` holds; folders above it are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _package(line: str) -> str:
    """The normalised name of the package in a requirement line or a wheel's file name."""
    found = re.match(r"[A-Za-z0-9._]+(?:-(?![0-9])[A-Za-z0-9._]+)*", line)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else line


def _schema(columns: Iterable[Column]) -> Any:
    from mlflow.types import ColSpec, Schema, schema

    anything: Any = schema.AnyType
    return Schema(
        [
            ColSpec(type=anything() if c.type == "any" else c.type, name=c.name, required=c.required)
            for c in columns
        ]
    )
