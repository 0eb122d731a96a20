"""Bundles: one row per key, each model once, nothing read that is not needed or not verified."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from many_models.bundle import Bundle, content_id, pack, unpack, write_bundle
from many_models.errors import DamagedError, LookupFailed, StorageError

BLOCK = 64 * 1024


def digest(*key):
    return blake2b(json.dumps(key).encode(), digest_size=16).digest()


def stored(state, kind="ensemble"):
    data = pack(state)
    return content_id(data), kind, 1, data


def panel(n):
    """An index of n series with two key columns, and their models."""
    keys = [(i, f"bränd/{i % 7}") for i in range(n)]
    models = [stored({"i": i, "w": np.arange(i % 5 + 1.0)}) for i in range(n)]
    index = pa.table(
        {
            "Store": pa.array([k[0] for k in keys], pa.int64()),
            "sku id": [k[1] for k in keys],
            "digest": pa.array([digest(*k) for k in keys], pa.binary(16)),
            "content_id": [m[0] for m in models],
            "status": ["TRAINED"] * n,
            "score": np.arange(n) / 7,
            "trained_until": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * n, pa.timestamp("us", "UTC")),
        }
    )
    return keys, index, models


def reseal(folder):
    """Make checksums and manifest fit the files again, as a forger would."""
    manifest = json.loads((folder / "bundle.json").read_bytes())
    sums = b""
    for entry in (*manifest["index"], *manifest["models"]):
        data = (folder / entry["path"]).read_bytes()
        entry["bytes"] = len(data)
        sums += b"".join(
            blake2b(data[i : i + BLOCK], digest_size=16).digest() for i in range(0, len(data), BLOCK)
        )
    (folder / "checksums.bin").write_bytes(sums)
    manifest["checksums"] = {"bytes": len(sums), "blake2b": blake2b(sums, digest_size=16).hexdigest()}
    write_manifest(folder, manifest)


def write_manifest(folder, manifest):
    def canonical(document):
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    manifest.pop("seal", None)
    seal = blake2b(canonical(manifest), digest_size=16).hexdigest()
    (folder / "bundle.json").write_bytes(canonical({**manifest, "seal": seal}))


def read_all(folder):
    bundle = Bundle.open(folder)
    bundle.verify()
    table = bundle.index()
    for row in table.to_pylist():
        assert bundle.find(row["digest"]) == row
        if row["content_id"] is not None:
            bundle.model(row["content_id"])


def test_every_key_finds_its_row_and_its_model(tmp_path):
    keys, index, models = panel(1000)
    bundle = write_bundle(tmp_path / "b", index, iter(models), {"levels": [0.1, 0.5], "n": None})
    assert (bundle.series_count, bundle.model_count) == (1000, 1000)
    assert bundle.manifest == {"levels": [0.1, 0.5], "n": None}
    for key, row, model in zip(keys, index.to_pylist(), models, strict=True):
        assert bundle.find(digest(*key)) == row
        assert bundle.model(model[0]) == model[3]
    assert bundle.find(digest("nobody")) is None
    assert bundle.find(b"\0" * 16) is None
    assert bundle.find(b"\xff" * 16) is None
    bundle.verify()


def test_the_index_comes_back_sorted_with_its_names_and_types(tmp_path):
    _, index, models = panel(600)
    bundle = write_bundle(tmp_path / "b", index, models, {})
    table = bundle.index()
    assert table.schema.names == index.schema.names
    assert table.schema.types == index.schema.types
    assert table.equals(index.sort_by("digest").cast(table.schema))
    assert bundle.index(["score", "Store"]).column_names == ["score", "Store"]


def test_models_and_rows_come_many_at_once(tmp_path):
    keys, index, models = panel(700)
    bundle = write_bundle(tmp_path / "b", index, models, {})
    wanted = [digest(*k) for k in keys[::3]]
    rows = bundle.rows([*wanted, digest("nobody"), wanted[0]])
    assert rows.column("digest").to_pylist() == sorted(wanted)
    assert dict(bundle.models(m[0] for m in models)) == {m[0]: m[3] for m in models}
    assert list(bundle.models([])) == []
    assert bundle.rows([]).num_rows == 0


def test_a_pooled_model_is_stored_once(tmp_path):
    _, index, _ = panel(50)
    pooled = stored({"all": 1})
    index = index.set_column(index.column_names.index("content_id"), "content_id", [[pooled[0]] * 50])
    bundle = write_bundle(tmp_path / "b", index, [pooled, pooled], {})
    assert bundle.model_count == 1
    assert pq.read_table(tmp_path / "b" / "models").num_rows == 1
    assert bundle.model(bundle.find(digest(7, "bränd/0"))["content_id"]) == pooled[3]


def test_a_series_without_a_model_is_found_without_one(tmp_path):
    _, index, models = panel(3)
    ids = [models[0][0], None, models[2][0]]
    index = index.set_column(index.column_names.index("content_id"), "content_id", [ids])
    bundle = write_bundle(tmp_path / "b", index, models, {})
    assert bundle.find(digest(1, "bränd/1"))["content_id"] is None
    assert bundle.model_count == 2
    with pytest.raises(LookupFailed, match="one of the 2 models"):
        bundle.model(models[1][0])


def test_an_index_without_rows_is_a_bundle(tmp_path):
    _, index, _ = panel(2)
    bundle = write_bundle(tmp_path / "b", index.slice(0, 0), [], {})
    assert bundle.index().num_rows == 0
    assert bundle.find(digest(1)) is None
    bundle.verify()


def test_large_models_share_no_row_group(tmp_path):
    rng = np.random.default_rng(0)
    blobs = [rng.bytes(2_500_000) for _ in range(4)]
    models = [(content_id(blob), "big", 1, blob) for blob in blobs]
    index = pa.table({"digest": pa.array([digest(i) for i in range(4)], pa.binary(16))})
    index = index.append_column("content_id", pa.array([m[0] for m in models], pa.large_string()))
    bundle = write_bundle(tmp_path / "b", index, models, {})
    assert pq.ParquetFile(tmp_path / "b/models/00000.parquet").num_row_groups == 4
    assert bundle.model(models[2][0]) == models[2][3]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop_columns(["digest"]), "no column 'digest'"),
        (lambda t: t.drop_columns(["content_id"]), "no column 'content_id'"),
        (lambda t: t.append_column("__row", [[0] * t.num_rows]), "reserved"),
        (lambda t: pa.concat_tables([t, t]), "same digest"),
        (lambda t: t.set_column(2, "digest", [[b"short"] * t.num_rows]), "16 bytes"),
        (lambda t: t.append_column("score", [[0] * t.num_rows]), "two columns"),
    ],
)
def test_an_index_that_is_not_as_agreed_is_refused(tmp_path, change, says):
    _, index, models = panel(5)
    with pytest.raises(ValueError, match=says):
        write_bundle(tmp_path / "b", change(index), models, {})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_and_a_wrong_name_are_damage_and_leave_nothing(tmp_path):
    _, index, models = panel(5)
    with pytest.raises(DamagedError, match="1 of the 5 models"):
        write_bundle(tmp_path / "b", index, models[1:], {})
    with pytest.raises(DamagedError, match="hash that is its name"):
        write_bundle(tmp_path / "b", index, [(models[0][0], "x", 1, models[1][3]), *models[1:]], {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path):
    _, index, models = panel(2)
    (tmp_path / "b").mkdir()
    write_bundle(tmp_path / "b", index, models, {})
    with pytest.raises(StorageError, match="something is there already"):
        write_bundle(tmp_path / "b", index, models, {})
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        write_bundle(tmp_path / "file" / "b", index, models, {})


def test_the_same_input_gives_the_same_files(tmp_path):
    _, index, models = panel(300)
    write_bundle(tmp_path / "a", index, models, {"x": 1})
    write_bundle(tmp_path / "b", index.take(list(range(299, -1, -1))), models[::-1], {"x": 1})
    for path in (p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_a_flipped_byte_anywhere_is_damage(tmp_path):
    _, index, models = panel(12)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {"note": "text"})
    for path in ("bundle.json", "checksums.bin", "index/00000.parquet", "models/00000.parquet"):
        data = (folder / path).read_bytes()
        for position in range(0, len(data), 3 if len(data) < 2000 else 31):
            broken = bytearray(data)
            broken[position] ^= 1 << (position % 8)
            (folder / path).write_bytes(bytes(broken))
            with pytest.raises(DamagedError):
                read_all(folder)
        (folder / path).write_bytes(data[:-1])
        with pytest.raises(DamagedError):
            read_all(folder)
        (folder / path).write_bytes(data)
    read_all(folder)
    (folder / "models/00000.parquet").unlink()
    with pytest.raises(DamagedError, match=r"models/00000\.parquet is missing"):
        read_all(folder)


def test_damage_is_found_by_the_look_up_that_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    models = [stored({"w": rng.normal(size=3000)}) for _ in range(300)]
    index = pa.table({"digest": pa.array([digest(i) for i in range(300)], pa.binary(16))})
    folder = tmp_path / "b"
    write_bundle(folder, index.append_column("content_id", [[m[0] for m in models]]), models, {})
    path = folder / "models/00000.parquet"
    data = bytearray(path.read_bytes())
    victim = data.index(models[5][3])
    data[victim + 1000] ^= 1
    path.write_bytes(bytes(data))
    bundle = Bundle.open(folder)
    with pytest.raises(DamagedError, match=r"models/00000\.parquet, bytes \d+ to \d+"):
        bundle.model(models[5][0])
    with pytest.raises(DamagedError):
        bundle.verify()
    order = sorted(range(300), key=digest)
    far = order[-1] if order.index(5) < 150 else order[0]
    assert bundle.model(models[far][0]) == models[far][3]


@pytest.mark.parametrize(
    "path",
    ["../secret.parquet", "/etc/passwd", "models/../../x", "models\\00000.parquet", "models/1.parquet", ""],
)
def test_no_path_of_the_manifest_leaves_the_folder(tmp_path, path):
    _, index, models = panel(3)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["models"][0]["path"] = path
    write_manifest(folder, manifest)
    with pytest.raises(DamagedError, match="names a shard in an unknown way"):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(version=2), "version 2"),
        (lambda m: m.update(format="zip"), "not the manifest of a bundle"),
        (lambda m: m.update(index=[]), "add up"),
        (lambda m: m.update(schema="zz"), "schema"),
        (lambda m: m.update(schema="00" * 8), "schema"),
        (lambda m: m.pop("counts"), "lacks a part"),
        (lambda m: m["models"].append(m["models"][0]), "add up"),
        (lambda m: m["models"][0].update(bytes=10**9), "per block"),
        (lambda m: m["models"][0].update(rows=-1), "unknown way"),
        (lambda m: m["models"][0].update(first="x"), "unknown way"),
    ],
)
def test_a_forged_manifest_is_damage(tmp_path, change, says):
    _, index, models = panel(3)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    manifest = json.loads((folder / "bundle.json").read_bytes())
    change(manifest)
    write_manifest(folder, manifest)
    with pytest.raises(DamagedError, match=says):
        Bundle.open(folder)


@pytest.mark.parametrize(("row", "says"), [(99, "row 99"), (-1, "row -1"), (1, "not where the index says")])
def test_an_index_that_points_elsewhere_is_damage(tmp_path, row, says):
    _, index, models = panel(3)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    table = pq.read_table(folder / "index/00000.parquet")
    at = table.column_names.index("__row")
    pq.write_table(
        table.set_column(at, "__row", pa.array([row] * 3, pa.int32())), folder / "index/00000.parquet"
    )
    reseal(folder)
    bundle = Bundle.open(folder)
    first = bundle.find(table.column("digest")[0].as_py())
    with pytest.raises(DamagedError, match=says):
        bundle.model(first["content_id"])


def test_a_file_that_is_no_parquet_is_damage(tmp_path):
    _, index, models = panel(3)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    (folder / "index/00000.parquet").write_bytes(b"PAR1 nothing here PAR1")
    reseal(folder)
    with pytest.raises(DamagedError, match="cannot be read"):
        Bundle.open(folder).index()


def test_a_folder_without_a_bundle_says_what_it_looked_for(tmp_path):
    with pytest.raises(LookupFailed, match=r"bundle\.json"):
        Bundle.open(tmp_path)
    with pytest.raises(LookupFailed):
        Bundle.open(tmp_path / "nowhere")


@pytest.mark.parametrize("n", [100, 5000])
def test_one_look_up_fetches_four_files_however_many_models_there_are(tmp_path, n):
    keys, index, models = panel(n)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    fetched: Counter[str] = Counter()

    def fetch(path):
        fetched[path] += 1
        return folder / path

    bundle = Bundle.open(fetch)
    row = bundle.find(digest(*keys[5]))
    assert bundle.model(row["content_id"]) == models[5][3]
    assert bundle.find(digest(*keys[5])) == row
    assert fetched.total() == 4
    assert {Path(path).parts[0] for path in fetched} == {"bundle.json", "checksums.bin", "index", "models"}


def test_a_shard_that_does_not_say_where_its_groups_end_is_damage(tmp_path):
    keys, index, models = panel(600)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    path = folder / "index/00000.parquet"
    table = pq.read_table(path)
    for statistics in (False, ["Store"]):
        pq.write_table(table, path, row_group_size=256, write_statistics=statistics)
        reseal(folder)
        bundle = Bundle.open(folder)
        with pytest.raises(DamagedError, match="where its row groups end"):
            bundle.find(digest(*keys[5]))
        with pytest.raises(DamagedError, match="where its row groups end"):
            bundle.rows([digest(*keys[5])])


@pytest.mark.parametrize("column", ["content_id", "state"])
def test_models_without_a_column_are_damage(tmp_path, column):
    _, index, models = panel(3)
    folder = tmp_path / "b"
    write_bundle(folder, index, models, {})
    path = folder / "models/00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    reseal(folder)
    with pytest.raises(DamagedError, match="has not the columns"):
        Bundle.open(folder).model(models[0][0])


def test_models_whose_rows_were_asked_for_are_found_without_the_whole_index(tmp_path):
    keys, index, models = panel(5000)
    write_bundle(tmp_path / "b", index, models, {})
    fetched = Counter()

    def fetch(path):
        fetched[path] += 1
        return tmp_path / "b" / path

    bundle = Bundle.open(fetch)
    (row,) = bundle.rows([digest(*keys[7])]).to_pylist()
    assert bundle.model(row["content_id"]) == models[7][3]
    assert fetched.total() == 4  # manifest, checksums, one shard of the index, one of the models


def test_look_ups_from_many_threads_agree(tmp_path):
    keys, index, models = panel(2000)
    write_bundle(tmp_path / "b", index, models, {})
    bundle = Bundle.open(tmp_path / "b", cache_bytes=10_000)
    wrong = []

    def work(offset):
        for i in range(offset, 2000, 17):
            row = bundle.find(digest(*keys[i]))
            if row["Store"] != i or bundle.model(row["content_id"]) != models[i][3]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_bundle_of_version_1_is_read_for_ever():
    folder = Path(__file__).parent / "golden" / "bundle_1"
    bundle = Bundle.open(folder)
    bundle.verify()
    assert bundle.manifest == {"levels": [0.1, 0.5, 0.9]}
    assert bundle.index().column("sku id").to_pylist().count("bränd/3") == 1
    for i in range(5):
        row = bundle.find(digest(i, f"bränd/{i}"))
        assert (row["Store"], row["trained_until"]) == (i, datetime(2024, 1, 1, tzinfo=UTC))
        assert unpack(bundle.model(row["content_id"]))["i"] == i


def test_models_that_others_refer_to_are_stored_once_and_found_by_name(tmp_path):
    _, index, models = panel(30)
    shared = [stored({"pool": i, "w": np.arange(50.0) + i}, "pooled_model") for i in range(250)]
    bundle = write_bundle(tmp_path / "b", index, iter(models), {}, iter([*shared, *shared]))
    assert (bundle.series_count, bundle.model_count, bundle.shared_count) == (30, 30, 250)
    assert bundle.shared_names() == sorted(name for name, *_ in shared)
    for name, _, _, data in shared:
        assert bundle.shared(name) == data
    read_all(tmp_path / "b")
    for stranger in (models[0][0], "0" * 32, "f" * 32, "no name"):
        with pytest.raises(DamagedError, match="is missing"):
            bundle.shared(stranger)


def test_a_bundle_without_shared_models_has_no_folder_for_them(tmp_path):
    _, index, models = panel(3)
    bundle = write_bundle(tmp_path / "b", index, iter(models), {})
    assert bundle.shared_count == 0
    assert sorted(p.name for p in (tmp_path / "b").iterdir() if p.is_dir()) == ["index", "models"]
    with pytest.raises(DamagedError, match="is missing"):
        bundle.shared("0" * 32)


def test_a_shared_model_that_is_another_than_its_name_says_is_refused(tmp_path):
    _, index, models = panel(3)
    name, kind, version, data = stored({"pool": 1})
    with pytest.raises(DamagedError, match="hash that is its name"):
        write_bundle(tmp_path / "a", index, models, {}, [("0" * 32, kind, version, data)])
    write_bundle(tmp_path / "b", index, models, {}, [(name, kind, version, data)])
    path = tmp_path / "b" / "shared" / "00000.parquet"
    path.write_bytes(path.read_bytes().replace(data, data[:-1] + b"?"))
    with pytest.raises(DamagedError):
        Bundle.open(tmp_path / "b").shared(name)
