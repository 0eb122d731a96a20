"""Damaged and hostile files by the hundred thousand: nothing runs, no file outside is read, bounded memory.

    python benchmarks/fuzz.py [--count N] [--seed S] [--seconds N]

A small run is trained, and its files and those of its bundle are changed in many ways: bits flipped, cut
short, spliced, grown, filled with odd bytes; documents with values of other types, class names, paths that
lead outside, and numbers that are far too large. Where a checksum would stop them, it is made to fit again,
as a forger would. Every changed file is opened as a user would open it. It has to be refused with one of our
errors about damage or input, or to be read; anything else is a failure. Meanwhile an audit hook refuses to
run programs, to open sockets, to unpickle, and to open files that belong neither to the work folder nor to
Python.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import argparse
import collections
import contextlib
import copy
import gc
import json
import math
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from many_models import ForecastSpec, open_models, open_run, train
from many_models.automl.model import load_series_model
from many_models.bundle import Bundle, pack, unpack
from many_models.datasets import retail
from many_models.errors import DamagedError, InputError
from many_models.runs.bundling import bundle_of_run
from many_models.runs.directory import RunDirectory
from many_models.runs.models import models_of_bundle

REFUSALS = (DamagedError, InputError)
"""How a changed file may be refused."""

BLOCK = 64 * 1024
MOST_MEGABYTES = 600.0
"""What the process may hold more than before, whatever it is fed."""

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, float("nan"), "", "nan", "../../../etc/passwd",
    "/etc/passwd", "os.system", "builtins.eval", "__import__('os').system('true')", "\x00", "\ud800",
    [], {}, [[]], {"": {}}, {"$a": ["d", 10**12]}, {"$f": "nan"}, [0] * 500, "x" * 5000,
)  # fmt: skip

FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.connect",
    "socket.bind", "pickle.find_class", "ctypes.dlopen", "code.__new__",
)  # fmt: skip


class Escaped(BaseException):
    """Something that no file may bring about."""


class Watch:
    """An audit hook that refuses what no file may bring about, while it is on."""

    def __init__(self, folder: Path) -> None:
        self.on = False
        self._allowed = (
            str(folder), sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[1]),
            "/proc/", "/usr/share/zoneinfo", "/dev/null", "/sys/",
        )  # fmt: skip
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in FORBIDDEN:
            raise Escaped(f"{event} {str(arguments)[:200]}")
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode(errors="replace")
            if path.startswith("/") and not path.startswith(self._allowed):
                raise Escaped(f"opened {path}")


# -- changes of bytes and of documents ---------------------------------------------------------------


def changed_bytes(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one to three changes."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1) if data else 0
        kind = draw.randrange(7)
        if kind == 0 and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + draw.randbytes(draw.randint(1, 16)) + data[at:]
        elif kind == 3:
            data = data[:at] + data[at + draw.randint(1, 16) :]
        elif kind == 4:
            data = data[:at] + bytes([draw.choice((0, 255))]) * draw.randint(1, 16) + data[at + 16 :]
        elif kind == 5:
            other = draw.randrange(len(data) + 1) if data else 0
            data = data[:at] + data[other : other + 64] + data[at:]
        else:
            data = (
                data[:at]
                + draw.choice((b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"{}", b"[" * 200))
                + data[at:]
            )
    return data


def changed_document(document: Any, draw: random.Random) -> Any:
    """The document with an odd value somewhere, a part left out, doubled, or moved elsewhere."""
    changed = copy.deepcopy(document)
    for _ in range(draw.randint(1, 2)):
        places = list(_places(changed))
        if not places:
            return draw.choice(ODD)
        holder, key = draw.choice(places)
        kind = draw.randrange(4)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, there = draw.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                holder[key] = copy.deepcopy(other[there])
        else:
            holder[key] = copy.deepcopy(draw.choice(ODD))
    return changed


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _places(value)


# -- what is fed -------------------------------------------------------------------------------------


def resealed_container(data: bytes) -> bytes:
    """A container whose checksum fits its content again."""
    prefix, payload = data[:14], data[30:]
    digest = blake2b(prefix, digest_size=16)
    digest.update(payload)
    return prefix + digest.digest() + payload


class Feeder:
    """The files of a small run and of its bundle, and how each kind of them is changed and opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = ForecastSpec.from_dict(SPEC)
        frame = retail(stores=2, items=2, periods=60, frequency="W", future=4, seed=1)
        train(frame, spec, run_dir=folder / "run")
        self.run = folder / "run"
        bundle_of_run(RunDirectory(self.run), folder / "bundle")
        states = RunDirectory(self.run).read("models")["state"].to_pylist()
        self.states: list[bytes] = states
        self.documents = [unpack(state) for state in states]
        self.spec_text = (self.run / "spec.yaml").read_text(encoding="utf-8")
        self.work = folder / "work"
        self.digest = Bundle.open(folder / "bundle").index(["digest"])["digest"][0].as_py()
        self.kinds: tuple[tuple[str, float, Callable[[random.Random], None]], ...] = (
            ("container", 0.45, self.container),
            ("container, checksum made to fit", 0.40, self.forged_container),
            ("state of a model", 0.07, self.state),
            ("configuration", 0.05, self.configuration),
            ("bundle", 0.01, self.bundle),
            ("bundle, checksums made to fit", 0.01, self.forged_bundle),
            ("run directory", 0.01, self.run_directory),
        )

    def container(self, draw: random.Random) -> None:
        """A changed container."""
        unpack(changed_bytes(draw.choice(self.states), draw))

    def forged_container(self, draw: random.Random) -> None:
        """A changed container whose checksum fits."""
        unpack(resealed_container(changed_bytes(draw.choice(self.states), draw)))

    def state(self, draw: random.Random) -> None:
        """A model of a changed state."""
        document = changed_document(draw.choice(self.documents), draw)
        try:
            packed = pack(document)
        except (TypeError, ValueError, OverflowError):  # what cannot be written cannot be read
            return
        load_series_model(unpack(packed))

    def configuration(self, draw: random.Random) -> None:
        """A changed configuration, as text or as a tree."""
        if draw.random() < 0.5:
            text = changed_bytes(self.spec_text.encode(), draw).decode("utf-8", "replace")
        else:
            tree = changed_document(yaml.safe_load(self.spec_text), draw)
            with contextlib.suppress(ValueError):
                text = json.dumps(tree)
        path = self.folder / "changed.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        ForecastSpec.from_yaml(path)

    def bundle(self, draw: random.Random) -> None:
        """A bundle with one changed file."""
        folder = self._copy("bundle")
        self._change(draw.choice(_files(folder)), draw)
        self._use_bundle(folder)

    def forged_bundle(self, draw: random.Random) -> None:
        """A bundle with one changed file, and checksums that fit."""
        folder = self._copy("bundle")
        document = json.loads((folder / "bundle.json").read_bytes())
        if draw.random() < 0.5:
            document = changed_document(document, draw)
        else:
            shards = [folder / entry["path"] for entry in (*document["index"], *document["models"])]
            self._change(draw.choice(shards), draw)
            _fit_checksums(folder, document)
        _seal(folder, document)
        self._use_bundle(folder)

    def run_directory(self, draw: random.Random) -> None:
        """A run directory with one changed file."""
        folder = self._copy("run")
        self._change(draw.choice(_files(folder)), draw)
        run = open_run(folder)
        _ = run.summary, run.spec, run.layout
        for table in (run.results, run.forecasts, run.findings, run.backtest):
            table()
        models = open_models(folder)
        models.forecast()

    def _use_bundle(self, folder: Path) -> None:
        opened = Bundle.open(folder)
        row = opened.find(self.digest)
        if row is not None and row.get("content_id") is not None:
            opened.model(row["content_id"])
        opened.index()
        models_of_bundle(opened, {}).forecast()

    def _copy(self, name: str) -> Path:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.folder / name, self.work)
        return self.work

    def _change(self, path: Path, draw: random.Random) -> None:
        if draw.random() < 0.05:
            path.unlink()
            path.symlink_to("/etc/passwd")
            return
        data = path.read_bytes()
        if path.suffix == ".json" and draw.random() < 0.6:
            with contextlib.suppress(ValueError):
                path.write_text(json.dumps(changed_document(json.loads(data), draw)), encoding="utf-8")
                return
        path.write_bytes(changed_bytes(data, draw))


SPEC = {
    "name": "fuzz",
    "data": {
        "time": "date",
        "target": "sales",
        "series": ["store", "item"],
        "known": ["price", "promotion"],
        "frequency": "W-MON",
    },
    "forecast": {"horizon": 4, "totals": [2, 4]},
    "learners": {"allow": ["average", "theta", "arx", "elastic_net"]},
    "features": {"holidays": None},
    "engine": {"workers": 1},
}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fit_checksums(folder: Path, document: dict[str, Any]) -> None:
    sums = b""
    for entry in (*document["index"], *document["models"]):
        data = (folder / entry["path"]).read_bytes()
        entry["bytes"] = len(data)
        for start in range(0, len(data), BLOCK):
            sums += blake2b(data[start : start + BLOCK], digest_size=16).digest()
    (folder / "checksums.bin").write_bytes(sums)
    document["checksums"] = {"bytes": len(sums), "blake2b": blake2b(sums, digest_size=16).hexdigest()}


def _seal(folder: Path, document: Any) -> None:
    if isinstance(document, dict):
        document.pop("seal", None)
        with contextlib.suppress(ValueError):
            document["seal"] = blake2b(_canonical(document), digest_size=16).hexdigest()
    with contextlib.suppress(ValueError):
        (folder / "bundle.json").write_bytes(_canonical(document))


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def megabytes() -> float:
    """The memory that this process holds now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="changed files to feed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        help="stop after so long; every kind gets the same part of it, and what one leaves goes to the next",
    )
    options = parser.parse_args(argv)
    with harness.scratch() as folder:
        feeder = Feeder(folder.resolve())
        watch = Watch(folder.resolve())
        failures = feed(feeder, watch, options.count, options.seed, options.seconds)
    return 1 if failures else 0


def feed(feeder: Feeder, watch: Watch, count: int, seed: int, limit: float = math.inf) -> int:
    """How many of the changed files were not dealt with; prints a table."""
    failures, slowest, start = 0, 0.0, time.perf_counter()
    before, most = megabytes(), 0.0
    print(f"{'fed':>8} {'refused':>8} {'read':>8}  kind", flush=True)
    for place, (name, share, attempt) in enumerate(feeder.kinds, start=1):
        told: collections.Counter[str] = collections.Counter()
        for number in range(max(1, round(count * share))):
            if time.perf_counter() - start > limit * place / len(feeder.kinds):
                break
            draw = random.Random(f"{seed}/{name}/{number}")
            begun = time.perf_counter()
            watch.on = True
            try:
                with np.errstate(all="ignore"):
                    attempt(draw)
                told["read"] += 1
            except REFUSALS:
                told["refused"] += 1
            except (Exception, Escaped) as trouble:
                watch.on = False
                told["failed"] += 1
                if told["failed"] <= 3:
                    where = "".join(traceback.format_exception(trouble)[-4:])
                    print(f"FAILED {name} {seed}/{number}: {type(trouble).__name__}\n{where}", flush=True)
            finally:
                watch.on = False
            slowest = max(slowest, time.perf_counter() - begun)
            if number % 500 == 0:
                most = max(most, megabytes() - before)
        failures += told["failed"]
        gc.collect()
        print(f"{sum(told.values()):>8} {told['refused']:>8} {told['read']:>8}  {name}", flush=True)
    seconds = time.perf_counter() - start
    print(f"{failures} failures; slowest {slowest:.2f} s; {most:.0f} MB more held; {seconds:.0f} s in all")
    return failures + (most > MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
