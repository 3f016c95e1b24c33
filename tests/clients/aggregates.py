"""Our aggregates, as AWS's deaggregators for Python and JavaScript read them: `aws_kinesis_agg` and `aws-kinesis-agg`."""

import base64
import json
import os
import random
import subprocess

from aws_kinesis_agg.deaggregator import deaggregate_records
from harness import check, skip

LARGEST = 1024 * 1024


def pack(records):
    """Packs them by ours (`tests/examples/pack.rs`); None ends an aggregate."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    done = subprocess.run([os.environ["PACK"]], input=lines, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_python(packed):
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": packed["partition_key"],
            "sequenceNumber": "7",
            "approximateArrivalTimestamp": 1.5,
            "data": base64.b64encode(bytes.fromhex(packed["data"])),
        }
    }
    parts = [part["kinesis"] for part in deaggregate_records([record])]
    assert [part["subSequenceNumber"] for part in parts] == list(range(len(parts)))
    assert all(part["aggregated"] for part in parts)
    return [[it["partitionKey"], it["explicitHashKey"], base64.b64decode(it["data"]).hex()] for it in parts]


def by_javascript(aggregates):
    """Of each aggregate its records."""
    folder = os.environ.get("JAVASCRIPT")
    if not folder:
        skip("needs Node.js (20 or later) and npm")
    lines = "".join(json.dumps(packed) + "\n" for packed in aggregates)
    done = subprocess.run(
        [os.environ["NODE"], "--no-warnings", "deaggregate.mjs"],
        cwd=folder, input=lines, capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def scenes():
    """Aggregates of every kind. Records of one have all an explicit hash key, or none: both read an absent one as the table's first."""
    rng = random.Random(1)
    golden = os.path.join(os.path.dirname(__file__), "../golden/aggregates/scenes.json")
    with open(golden, encoding="utf-8") as file:
        yield from (records for name, records in json.load(file).items() if name != "some_explicit_hash_keys")
    sizes = [0, 1, 2, 126, 127, 128, 129, 1_000, 16_383, 16_384, 65_535, 65_536, 300_000]
    yield [[f"key-{size}", None, rng.randbytes(size).hex()] for size in sizes]
    for size in (0, 1, 1_000_000, LARGEST - 90):
        yield [["alone", str(rng.randrange(2**128)), rng.randbytes(size).hex()]]
    for _ in range(40):
        keys = [rng.choice(["k", "ключ", "🔑"]) + str(n) for n in range(rng.randint(1, 200))]
        hash_keys = [str(rng.choice([2**40 + n, 2**128 - 1 - n])) for n in range(rng.randint(1, 200))]
        keyed = rng.random() < 0.5
        yield [
            [rng.choice(keys), rng.choice(hash_keys) if keyed else None, rng.randbytes(rng.randint(0, 300)).hex()]
            for _ in range(rng.randint(1, 300))
        ]


def packed_scenes():
    went_in = list(scenes())
    aggregates = pack(record for scene in went_in for record in [*scene, None])
    assert len(aggregates) == len(went_in)
    for packed, scene in zip(aggregates, went_in):
        assert [packed["partition_key"], packed["explicit_hash_key"], packed["records"]] == [*scene[0][:2], len(scene)]
        assert len(packed["data"]) // 2 + len(packed["partition_key"].encode()) <= LARGEST
    return aggregates, went_in


def filled():
    """More than fits one aggregate: each but the last is full."""
    rng = random.Random(2)
    records = [[f"key-{n % 50}", None, rng.randbytes(n * 37 % 4_000).hex()] for n in range(1_500)]
    aggregates = pack(records)
    sizes = [len(packed["data"]) // 2 + len(packed["partition_key"]) for packed in aggregates]
    assert len(sizes) > 2 and all(LARGEST - 5_000 < size <= LARGEST for size in sizes[:-1]), sizes
    return aggregates, records


@check
def python_reads_what_ours_packed():
    aggregates, went_in = packed_scenes()
    for packed, scene in zip(aggregates, went_in):
        assert by_python(packed) == scene, packed["partition_key"]


@check
def python_reads_full_aggregates_one_after_another():
    aggregates, records = filled()
    assert [record for packed in aggregates for record in by_python(packed)] == records


@check
def javascript_reads_what_ours_packed():
    aggregates, went_in = packed_scenes()
    for came, scene in zip(by_javascript(aggregates), went_in, strict=True):
        assert came == scene, scene[0][0]


@check
def javascript_reads_full_aggregates_one_after_another():
    aggregates, records = filled()
    assert [record for came in by_javascript(aggregates) for record in came] == records
