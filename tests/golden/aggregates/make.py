"""Packs scenes by Python's aggregator. Usage: make.py SCENES FOLDER"""

import json
import pathlib
import sys

from aws_kinesis_agg.aggregator import RecordAggregator

scenes, folder = sys.argv[1:]
for name, records in json.loads(pathlib.Path(scenes).read_text("utf-8")).items():
    aggregator = RecordAggregator()
    for key, hash_key, data in records:
        assert aggregator.add_user_record(key, bytes.fromhex(data), hash_key) is None, f"{name} is more than one aggregate"
    _, _, packed = aggregator.clear_and_get().get_contents()
    pathlib.Path(folder, name).write_bytes(packed)
