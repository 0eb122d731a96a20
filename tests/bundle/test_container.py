"""Containers: what goes in comes out bit for bit, and nothing else is ever read."""

from __future__ import annotations

import json
import math
import struct
import zlib
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from many_models.bundle.container import Limits, content_id, pack, unpack
from many_models.errors import DamagedError

DTYPES = ("<f8", "<f4", "<i8", "<i4", "<i2", "u1", "?")
SMALL = {"kind": "ets", "alpha": 0.1, "level": np.array([1.0, 2.5]), "on": np.array([True, False])}


def arrays():
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), shapes))


def states():
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), arrays()
    )
    keys = st.one_of(st.text(max_size=5), st.sampled_from(["$", "$a", "$f", "$$a", "a.b"]))
    values = st.recursive(
        leaves,
        lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(keys, v, max_size=4)),
        max_leaves=12,
    )
    return st.dictionaries(keys, values, max_size=5)


def same(a, b):
    """Equality of states in which every bit counts."""
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return math.isnan(b) if math.isnan(a) else struct.pack("<d", a) == struct.pack("<d", b)
    return a == b


def forged(header, arrays=b"", *, order=0, version=1, header_bytes=None, array_bytes=None, tail=b""):
    """A container with a right checksum around whatever it is given."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = deflate.compress(header + arrays) + deflate.flush() + tail
    sizes = (
        len(header) if header_bytes is None else header_bytes,
        len(arrays) if array_bytes is None else array_bytes,
    )
    prefix = struct.pack("<4sBBII", b"MMC\x1a", version, order, *sizes)
    return prefix + blake2b(prefix + payload, digest_size=16).digest() + payload


@settings(max_examples=300, deadline=None)
@given(states())
def test_every_state_comes_back_bit_for_bit(state):
    data = pack(state)
    assert same(unpack(data), state)
    assert pack(unpack(data)) == data


def test_the_order_of_keys_does_not_change_the_bytes():
    assert pack({"a": 1, "b": {"c": 2, "d": 3}}) == pack({"b": {"d": 3, "c": 2}, "a": 1})


def test_arrays_come_back_read_only_and_on_their_own():
    state = unpack(pack({"a": np.arange(3.0), "b": np.arange(4.0)}))
    with pytest.raises(ValueError, match="read-only"):
        state["a"][0] = 1
    assert state["a"].base is None or state["a"].base.size == 3


def test_strided_and_big_endian_arrays_are_stored_by_value():
    a = np.arange(24, dtype=">i4").reshape(4, 6)[::2, ::-1]
    back = unpack(pack({"a": a}))["a"]
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, a)


def test_tuples_become_lists_and_numpy_scalars_numbers():
    state = {"order": (1, 0, 1), "x": np.float64(2.5), "n": np.int64(3), "on": np.bool_(True)}
    assert same(unpack(pack(state)), {"order": [1, 0, 1], "x": 2.5, "n": 3, "on": True})


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"a": {1: 2}}, "state.a"),
        ({"a": [object()]}, r"state.a\[0\]"),
        ({"a": np.array(["x"], object)}, "object"),
        ({"a": np.array(["2020-01-01"], "M8[D]")}, "datetime64"),
        ({"a": 2**64}, "64 bits"),
        ({"a": b"bytes"}, "bytes"),
        ([1], "dict"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_name(state, named):
    with pytest.raises(TypeError, match=named):
        pack(state)


def test_a_state_too_deep_for_readers_is_refused_when_it_is_written():
    state: dict = {}
    for _ in range(40):
        state = {"a": state}
    with pytest.raises(ValueError, match="deeper than 32"):
        pack(state)


def test_every_flipped_byte_is_damage():
    data = pack(SMALL)
    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            broken = bytearray(data)
            broken[position] ^= flip
            with pytest.raises(DamagedError):
                unpack(bytes(broken))


def test_every_truncation_and_any_tail_is_damage():
    data = pack(SMALL)
    for broken in (*(data[:n] for n in range(len(data))), data + b"\0", data + data):
        with pytest.raises(DamagedError):
            unpack(broken)


def test_random_bytes_and_random_payloads_are_damage_or_a_state():
    rng = np.random.default_rng(0)
    header = b'{"a":{"$a":["d",2]},"b":[1,{"$f":"nan"}]}'
    for _ in range(3000):
        text = bytearray(header)
        for _ in range(rng.integers(1, 4)):
            text[rng.integers(len(text))] = rng.integers(32, 127)
        try:
            state = unpack(forged(bytes(text), bytes(16)))
        except DamagedError:
            continue
        assert same(unpack(pack(state)), state)
    for _ in range(300):
        with pytest.raises(DamagedError):
            unpack(rng.bytes(int(rng.integers(0, 200))))


ODD = [
    (forged({"a": 1}, version=9), "version 9"),
    (forged({"a": 1}, order=2), "order"),
    (forged([1]), "not a mapping"),
    (forged({"$a": ["d", 0]}), "not a mapping"),
    (forged(b'{"a":1,"a":2}'), "twice"),
    (forged(b'{"a":NaN}'), "NaN"),
    (forged(b'{"a":1e999}'), "range of floats"),
    (forged(b'{"a":' + b"9" * 30 + b"}"), "64 bits"),
    (forged(b'{"a":"\xff"}'), "canonical JSON"),
    (forged({"a": {"$x": 1}}), "unknown"),
    (forged({"a": {"$f": "one"}}), "float"),
    (forged({"a": {"$f": ["x"]}}), "float"),
    (forged({"a": {"$a": ["d", 1, 2]}}), "reference"),
    (forged({"a": {"$a": ["x", 1]}}), "reference"),
    (forged({"a": {"$a": ["d", -1]}}), "shape"),
    (forged({"a": {"$a": ["d", True]}}), "shape"),
    (forged({"a": {"$a": ["d", [1] * 9]}}), "shape"),
    (forged({"a": {"$a": ["d", [2**30, 2**30, 0]]}}), "shape"),
    (forged({"a": {"$a": ["d", 2**30]}}), "arrays need"),
    (forged({"a": {"$a": ["d", 1]}}, bytes(16)), "arrays need 8 bytes, and 16"),
    (forged({"a": {"$a": ["?", 1]}}, b"\2"), "neither 0 nor 1"),
    (forged({"a": 1}, header_bytes=3), "does not inflate"),
    (forged({"a": 1}, array_bytes=3), "does not inflate"),
    (forged({"a": 1}, tail=b"x"), "bytes follow"),
    (forged(b"[" * 100_000), "deeply"),
    (forged(b'{"a":' * 100_000), "deeply"),
    (forged(b'{"a":' * 40 + b"1" + b"}" * 40), "deeply"),
    (forged({"a": 1}, array_bytes=2**31), "at most"),
    (forged(b'{"a":[' + b"1," * 1_100_000 + b"1]}"), "values"),
]


@pytest.mark.parametrize(("data", "says"), ODD, ids=[f"{n}-{says}" for n, (_, says) in enumerate(ODD)])
def test_whatever_is_odd_is_damage_and_says_what(data, says):
    with pytest.raises(DamagedError, match=says):
        unpack(data)


def test_a_bomb_is_refused_before_it_expands():
    bomb = forged(b'{"a":1}' + b" " * 2**26, array_bytes=0)
    assert len(bomb) < 200_000
    with pytest.raises(DamagedError, match="at most"):
        unpack(bomb)
    hidden = forged(b'{"a":1}' + b" " * 2**26, header_bytes=7)
    with pytest.raises(DamagedError, match="does not inflate to the 7 bytes"):
        unpack(hidden)


def test_limits_can_be_narrower():
    data = pack({"a": np.zeros(1000)})
    assert unpack(data)["a"].shape == (1000,)
    with pytest.raises(DamagedError, match="at most 100"):
        unpack(data, Limits(max_bytes=100))


def test_109_floats_stay_below_a_kilobyte():
    rng = np.random.default_rng(0)
    assert len(pack({"a": rng.normal(size=109)})) < 950
    assert len(pack({"a": rng.poisson(200, 109).astype(float)})) < 260


def test_a_content_id_names_the_bytes():
    assert content_id(b"abc") == blake2b(b"abc", digest_size=16).hexdigest()


GOLDEN_1 = {
    "plain": (
        "4d4d431a0100d000000042010000a370ae6250ecf3997ad2db35c35ae38eab56525129cf2f4a51b2528a293530484b8e"
        "294db13006916926894a3a4ac9f9a57925c54a56d54a2a894a56d14a994a3ad1463ac6b1b1b53a4a693989e94852f64a"
        "3a4620e1eccc3c9071a9406d3a4a79a9c525a9406e74b5520558691a502a332f4da9b65627af342747a7a4a8345547d7"
        "5cc740cf305647a93837312707616406d4c892c44c24d114251d6333907039422c0de82ea0a36adf04ee906b7dcdec70"
        "7d71812dd7f5fff6adaf41028c0ea3e210710606050746060606262066066216206605623620feff5f8791910100"
    ),
    "shuffled": (
        "4d4d431a0101cf0000003a000000318a2a30220cb4a8fa8064b52810d0e9658edd0a82401085d7fe9e230e5e4e611a14"
        "ded87ba8178bba256d2ba88b81483db677b646a0d05c0ccc77ce1c4e0bdb6e8a32858f483b8e48229d9ebd718b230721"
        "29b4aa2bf82d6c0e3f440e0a5df2e2b82308c9af332900b923bee76a8ccbcc1b4165559d99336cf1fc5a85917225d075"
        "a4b49454973aa3dd899cfd2126540f2ee51479fb45d63c9fd114a680a1cd8484a9653a75ec6ffa9e05af3763db8bb558"
        "aed69b7fc7408365b10f"
    ),
}
GOLDEN_STATE_1 = {
    "$word": "ü🍊",
    "counts": np.array([[1, 2, 3], [4, 5, 6]], np.int32),
    "flags": np.array([True, False]),
    "kind": "ets",
    "nested": [{"x": float("inf")}, None, True, -7, 0.1],
    "small": np.array([-1, 300], np.int16),
    "tail": np.array([1.5, float("nan"), -0.0]),
    "w": np.array(2.5, np.float32),
}


@pytest.mark.parametrize("order", ["plain", "shuffled"])
def test_version_1_is_read_for_ever(order):
    state = unpack(bytes.fromhex(GOLDEN_1[order]))
    expected = dict(GOLDEN_STATE_1)
    if order == "plain":
        expected["tail"] = np.tile([2.49, 1.99, 2.19], 12)
    assert bytes.fromhex(GOLDEN_1[order])[5] == (order == "shuffled")
    assert same(state, expected)
