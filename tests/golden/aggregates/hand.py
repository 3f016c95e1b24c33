"""Aggregates as no aggregator writes them, and as protocol buffers allow or forbid. Usage: hand.py FOLDER

Writes FOLDER/<name>, and to the standard output what is in each, as in `scenes.json`: null where it is no whole aggregate, so that
the record comes as it was put. The schema that AWS publishes, read by Google's parser, has to agree.
"""

import hashlib
import json
import pathlib
import sys

from aws_kinesis_agg.deaggregator import messages_pb2
from google.protobuf.message import DecodeError

NUMBER, EIGHT, BYTES, FOUR = 0, 1, 2, 5
LOW, HIGH = "1", str(2**128 - 1)


def varint(value, width=1):
    """In at least so many bytes."""
    out = bytearray()
    while value >= 0x80 or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, kind, value, width=1):
    tag = varint(number << 3 | kind, width)
    if kind == NUMBER:
        return tag + varint(value, width)
    return tag + varint(len(value), width) + value if kind == BYTES else tag + value


def key(text, width=1):
    return field(1, BYTES, text.encode(), width)


def hash_key(text):
    return field(2, BYTES, text.encode())


def record(*fields, width=1):
    return field(3, BYTES, b"".join(fields), width)


def of_key(index, width=1):
    return field(1, NUMBER, index, width)


def of_hash_key(index):
    return field(2, NUMBER, index)


def data(payload, width=1):
    return field(3, BYTES, payload, width)


UNKNOWN = field(9, NUMBER, 2**64 - 1) + field(10, EIGHT, bytes(8)) + field(2**29 - 1, BYTES, b"later") + field(12, FOUR, bytes(4))
TAG = field(4, BYTES, field(1, BYTES, b"name") + field(2, BYTES, b"value"))

SCENES = {
    "tables_after_the_records": (
        [record(of_key(1), of_hash_key(0), data(b"x")), record(of_key(0), data(b"y")), key("a"), hash_key(HIGH), key("b")],
        [["b", HIGH, b"x"], ["a", None, b"y"]],
    ),
    "tables_between_the_records": (
        [key("a"), record(of_key(0), data(b"x")), key("b"), record(of_key(1), data(b"y")), record(of_key(0), data(b"z"))],
        [["a", None, b"x"], ["b", None, b"y"], ["a", None, b"z"]],
    ),
    "fields_of_a_record_in_another_order": (
        [key("a"), hash_key(LOW), record(data(b"x"), of_hash_key(0), of_key(0))],
        [["a", LOW, b"x"]],
    ),
    "fields_that_nobody_described": (
        [UNKNOWN, key("a"), UNKNOWN, record(UNKNOWN, of_key(0), UNKNOWN, data(b"x"), UNKNOWN), UNKNOWN],
        [["a", None, b"x"]],
    ),
    "records_with_tags": (
        [key("a"), record(of_key(0), data(b"x"), TAG, TAG), record(TAG, of_key(0), data(b""))],
        [["a", None, b"x"], ["a", None, b""]],
    ),
    "keys_twice_in_the_tables": (
        [key("a"), key("a"), hash_key(LOW), hash_key(LOW)]
        + [record(of_key(n), of_hash_key(1 - n), data(bytes([n]))) for n in (0, 1)],
        [["a", LOW, b"\0"], ["a", LOW, b"\1"]],
    ),
    "entries_that_nobody_names": (
        [key("unused"), key("a"), key(""), hash_key(HIGH), hash_key(LOW), hash_key("0"), record(of_key(1), of_hash_key(1), data(b"x"))],
        [["a", LOW, b"x"]],
    ),
    "a_key_of_no_characters": ([key(""), record(of_key(0), data(b"x"))], [["", None, b"x"]]),
    "numbers_longer_than_they_need_be": (
        [key("a", 3), key("b", 5), record(of_key(1, 5), data(b"x", 4), width=2), record(field(1, NUMBER, 0), data(b"y", 5), width=5)],
        [["b", None, b"x"], ["a", None, b"y"]],
    ),
    "an_index_of_ten_bytes": ([key("a"), record(b"\x08" + varint(0, 10), data(b"x"))], [["a", None, b"x"]]),
    "fields_twice_of_which_the_last_counts": (
        [key("a"), key("b"), hash_key(LOW), hash_key(HIGH)]
        + [record(of_key(0), of_hash_key(0), data(b"not this"), of_key(1), of_hash_key(1), data(b"x"))],
        [["b", HIGH, b"x"]],
    ),
    "tables_of_no_records": ([key("a"), hash_key(LOW)], []),
    "a_record_without_a_key": ([key("a"), record(data(b"x"))], None),
    "a_record_without_a_payload": ([key("a"), record(of_key(0))], None),
    "a_key_that_the_table_does_not_have": ([key("a"), record(of_key(1), data(b"x"))], None),
    "a_hash_key_that_the_table_does_not_have": ([key("a"), record(of_key(0), of_hash_key(0), data(b"x"))], None),
    "a_record_that_is_cut_off": ([key("a"), record(of_key(0), data(b"x"))[:-1]], None),
    "a_payload_longer_than_its_record": ([key("a"), record(of_key(0), b"\x1a\x05x"), record(of_key(0), data(b"y"))], None),
    "a_field_with_a_number_of_33_bits": ([key("a"), record(of_key(0), data(b"x")), varint(2**32 | 9 << 3), b"\0"], None),
    "a_field_number_of_nought": ([key("a"), record(of_key(0), data(b"x")), b"\0\0"], None),
    "a_key_that_is_no_utf_8": ([field(1, BYTES, b"\xff"), record(of_key(0), data(b"x"))], None),
}
# Google's parser leaves it to whoever asks for the text.
TEXTS = ["a_key_that_is_no_utf_8"]


def reading(message):
    """What Google's parser makes of it."""
    try:
        read = messages_pb2.AggregatedRecord.FromString(message)
        if not read.IsInitialized():
            return None
        keys, hash_keys = read.partition_key_table, read.explicit_hash_key_table
        chosen = lambda it: hash_keys[it.explicit_hash_key_index] if it.HasField("explicit_hash_key_index") else None
        return [[keys[it.partition_key_index], chosen(it), it.data] for it in read.records]
    except (DecodeError, IndexError):
        return None


(folder,) = map(pathlib.Path, sys.argv[1:])
results = {}
for name, (fields, expected) in SCENES.items():
    message = b"".join(fields)
    if name not in TEXTS:
        assert reading(message) == expected, (name, reading(message))
    (folder / name).write_bytes(b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message).digest())
    results[name] = expected and [[key, chosen, payload.hex()] for key, chosen, payload in expected]
print("{\n" + ",\n".join(f"    {json.dumps(name)}: {json.dumps(result)}" for name, result in results.items()) + "\n}")
