"""Kinesis through boto3: writing, resharding, reading through splits and merges."""

import datetime

import boto3
from harness import check, error_code

kinesis = boto3.client("kinesis")
KEYS = [f"key-{n}" for n in range(40)]


def create(name, shards):
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})


def delete(name):
    kinesis.delete_stream(StreamName=name)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})


def settle(name):
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})


def put(name, generation):
    """One record for each key."""
    entries = [{"Data": f"{key}:{generation}".encode(), "PartitionKey": key} for key in KEYS]
    answer = kinesis.put_records(StreamName=name, Records=entries)
    assert answer["FailedRecordCount"] == 0, answer
    assert len(answer["Records"]) == len(KEYS)


def shards(name):
    pages = kinesis.get_paginator("list_shards").paginate(StreamName=name)
    return [shard for page in pages for shard in page["Shards"]]


def open_shards(name):
    return [shard for shard in shards(name) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]


def read_shard(name, shard_id, until_closed):
    """The records from the oldest on, and the child shards once the shard has ended."""
    iterator = kinesis.get_shard_iterator(
        StreamName=name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = []
    for _ in range(100):
        answer = kinesis.get_records(ShardIterator=iterator)
        records += answer["Records"]
        iterator = answer.get("NextShardIterator")
        assert (iterator is None) == bool(answer.get("ChildShards")), answer
        if iterator is None:
            return records, answer["ChildShards"]
        if not until_closed and answer["MillisBehindLatest"] == 0:
            return records, []
    raise AssertionError(f"{shard_id} does not end")


def read_lineage(name, roots):
    """Reads parents before their children, as consumers do, and returns the texts in that order."""
    closed = {shard["ShardId"] for shard in shards(name)} - {shard["ShardId"] for shard in open_shards(name)}
    todo, done, texts = list(roots), set(), []
    while todo:
        shard_id = todo.pop(0)
        records, children = read_shard(name, shard_id, shard_id in closed)
        texts += [record["Data"].decode() for record in records]
        done.add(shard_id)
        for child in children:
            if set(child["ParentShards"]) <= done and child["ShardId"] not in todo:
                todo.append(child["ShardId"])
    return texts


def assert_complete(texts, generations):
    """Every record once, and those of a key in the order of their writing."""
    for key in KEYS:
        mine = [text for text in texts if text.startswith(f"{key}:")]
        assert mine == [f"{key}:{generation}" for generation in range(generations)], mine


@check
def records_are_read_back_through_a_split_and_a_merge_by_child_shards():
    create("lineage", 2)
    roots = [shard["ShardId"] for shard in open_shards("lineage")]
    put("lineage", 0)
    first = open_shards("lineage")[0]
    middle = (int(first["HashKeyRange"]["StartingHashKey"]) + int(first["HashKeyRange"]["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName="lineage", ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
    settle("lineage")
    put("lineage", 1)
    left, right, _ = sorted(open_shards("lineage"), key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
    kinesis.merge_shards(
        StreamName="lineage", ShardToMerge=left["ShardId"], AdjacentShardToMerge=right["ShardId"]
    )
    settle("lineage")
    put("lineage", 2)
    assert len(open_shards("lineage")) == 2
    assert_complete(read_lineage("lineage", roots), 3)
    delete("lineage")


@check
def a_stream_is_described_and_listed_while_it_lives_and_no_longer():
    create("listed", 3)
    summary = kinesis.describe_stream_summary(StreamName="listed")["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 3
    assert summary["StreamARN"].endswith(":stream/listed")
    age = datetime.datetime.now(datetime.timezone.utc) - summary["StreamCreationTimestamp"]
    assert abs(age) < datetime.timedelta(minutes=1), age
    pages = kinesis.get_paginator("describe_stream").paginate(StreamName="listed", PaginationConfig={"PageSize": 2})
    assert sum(len(page["StreamDescription"]["Shards"]) for page in pages) == 3
    names = [name for page in kinesis.get_paginator("list_streams").paginate() for name in page["StreamNames"]]
    assert "listed" in names and "ready" in names, names
    first = kinesis.list_shards(StreamName="listed", MaxResults=2)
    rest = kinesis.list_shards(NextToken=first["NextToken"])
    assert len(first["Shards"]) + len(rest["Shards"]) == 3 and "NextToken" not in rest
    delete("listed")
    assert error_code(kinesis.describe_stream, StreamName="listed") == "ResourceNotFoundException"


@check
def iterators_start_where_they_say():
    create("iterators", 1)
    shard_id = open_shards("iterators")[0]["ShardId"]
    sent = [
        kinesis.put_record(StreamName="iterators", Data=f"record {n}".encode(), PartitionKey="k")["SequenceNumber"]
        for n in range(5)
    ]

    def read(kind, **position):
        iterator = kinesis.get_shard_iterator(
            StreamName="iterators", ShardId=shard_id, ShardIteratorType=kind, **position
        )["ShardIterator"]
        return kinesis.get_records(ShardIterator=iterator)["Records"]

    everything = read("TRIM_HORIZON")
    assert [record["SequenceNumber"] for record in everything] == sent
    assert [record["SequenceNumber"] for record in read("AT_SEQUENCE_NUMBER", StartingSequenceNumber=sent[2])] == sent[2:]
    assert [record["SequenceNumber"] for record in read("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=sent[2])] == sent[3:]
    assert read("LATEST") == []
    arrived = everything[3]["ApproximateArrivalTimestamp"]
    later = [record for record in everything if record["ApproximateArrivalTimestamp"] >= arrived]
    assert read("AT_TIMESTAMP", Timestamp=arrived) == later
    delete("iterators")


@check
def the_largest_batch_goes_in_and_comes_out():
    create("large", 1)
    data = bytes(range(256)) * 80
    answer = kinesis.put_records(
        StreamName="large", Records=[{"Data": data, "PartitionKey": str(n)} for n in range(500)]
    )
    assert answer["FailedRecordCount"] == 0
    records, _ = read_shard("large", open_shards("large")[0]["ShardId"], until_closed=False)
    assert len(records) == 500 and all(record["Data"] == data for record in records)
    delete("large")


@check
def errors_have_the_names_that_boto3_knows():
    try:
        kinesis.describe_stream(StreamName="missing")
    except kinesis.exceptions.ResourceNotFoundException as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert error.response["ResponseMetadata"]["RequestId"]
    else:
        raise AssertionError("missing stream described")
    assert error_code(kinesis.create_stream, StreamName="ready", ShardCount=1) == "ResourceInUseException"
    assert error_code(kinesis.get_records, ShardIterator="garbage") == "InvalidArgumentException"
