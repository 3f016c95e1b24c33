"""What the aggregates are of, by their names."""

import json
import random

rng = random.Random(20)


def hash_key():
    # Large ones only: JavaScript's aggregator gets the order of those below 2^32 wrong, as its table is an object.
    return str(rng.randrange(2**40, 2**128))


def payload(most):
    return rng.randbytes(rng.randint(0, most)).hex()


HASH_KEYS = [hash_key() for _ in range(5)] + [str(2**128 - 1)]

SCENES = {
    "one_record": [["alone", None, b"hello".hex()]],
    "one_empty_payload": [["alone", None, ""]],
    "one_key": [["only", None, payload(40)] for _ in range(20)],
    "many_keys": [[f"key-{n}", None, payload(12)] for n in range(300)],
    "keys_that_come_again": [[f"key-{n * n % 17}", None, payload(30)] for n in range(100)],
    "empty_payloads": [[f"key-{n % 3}", None, "" if n % 2 else payload(9)] for n in range(20)],
    "explicit_hash_keys": [[f"key-{n % 5}", HASH_KEYS[n % 6], payload(30)] for n in range(60)],
    "some_explicit_hash_keys": [[f"key-{n % 5}", HASH_KEYS[n % 6] if n % 3 else None, payload(30)] for n in range(60)],
    "utf_8_keys": [[key, None, key.encode().hex()] for key in ["ключ", "鍵", "🔑", "clé", "a\u0301", "\u0000", "x" * 256, "é" * 256]],
    "an_aggregate_in_an_aggregate": [["outer", None, (b"\xf3\x89\x9a\xc2" + bytes(40)).hex()]],
    "large_payloads": [[f"key-{n}", None, bytes([n]).hex() * size] for n, size in enumerate([127, 128, 16_383, 16_384, 40_000])],
    "thousands_of_records": [[f"key-{n % 130}", None, n.to_bytes(2, "big").hex()] for n in range(4_000)],
}

lines = []
for name, records in SCENES.items():
    inner = ",\n".join(f"        {json.dumps(record, ensure_ascii=False)}" for record in records)
    lines.append(f"    {json.dumps(name)}: [\n{inner}\n    ]")
print("{\n" + ",\n".join(lines) + "\n}")
