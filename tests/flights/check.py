"""Holds the object that `flights` prints against the totals of its file, counted here a second time."""

import argparse
import csv
import gzip
import json
import math
import sys

arguments = argparse.ArgumentParser()
arguments.add_argument("--input", default="examples/data/flights-2013-01.csv.gz")
arguments.add_argument("--repeated", type=int)
arguments = arguments.parse_args()

flights, delays = {}, {}
with gzip.open(arguments.input, "rt", newline="") as text:
    for row in csv.DictReader(text):
        flights[row["carrier"]] = flights.get(row["carrier"], 0) + 1
        if row["dep_delay"] != "NA":
            delays.setdefault(row["carrier"], []).append(float(row["dep_delay"]))

summary = json.loads(sys.stdin.read())
assert summary["records"] == sum(flights.values()), summary["records"]
assert summary["lost"] == 0, summary["lost"]
if arguments.repeated is not None:
    assert summary["repeated"] == arguments.repeated, summary["repeated"]
assert summary["carriers"].keys() == flights.keys()
for carrier, seen in summary["carriers"].items():
    mean = sum(delays[carrier]) / len(delays[carrier])
    assert seen["flights"] == flights[carrier], (carrier, seen)
    assert math.isclose(seen["mean_dep_delay"], mean, rel_tol=1e-9), (carrier, seen, mean)
print(f"the totals are the file's: {summary['records']} flights, {summary['repeated']} repeated", file=sys.stderr)
