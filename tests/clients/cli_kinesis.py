"""Kinesis through the AWS CLI, as a shell script would use it."""

import base64

from harness import aws, check


def kinesis(*arguments):
    return aws("kinesis", *arguments)


def read(name, shard_id):
    """One answer from the oldest record on."""
    iterator = kinesis(
        "get-shard-iterator", "--stream-name", name, "--shard-id", shard_id, "--shard-iterator-type", "TRIM_HORIZON"
    )["ShardIterator"]
    return kinesis("get-records", "--shard-iterator", iterator)


@check
def a_stream_is_created_written_split_and_read_through_the_split():
    kinesis("create-stream", "--stream-name", "shell", "--shard-count", "1")
    kinesis("wait", "stream-exists", "--stream-name", "shell")
    put = ("put-record", "--stream-name", "shell", "--partition-key", "k", "--data")
    kinesis(*put, "before the split")
    parent = kinesis("list-shards", "--stream-name", "shell")["Shards"][0]["ShardId"]
    kinesis("split-shard", "--stream-name", "shell", "--shard-to-split", parent, "--new-starting-hash-key", str(2**127))
    kinesis("wait", "stream-exists", "--stream-name", "shell")
    kinesis(*put, "after the split")
    answer = read("shell", parent)
    assert "NextShardIterator" not in answer, answer
    texts = [base64.b64decode(record["Data"]) for record in answer["Records"]]
    for child in answer["ChildShards"]:
        assert child["ParentShards"] == [parent]
        texts += [base64.b64decode(record["Data"]) for record in read("shell", child["ShardId"])["Records"]]
    assert texts == [b"before the split", b"after the split"], texts
    kinesis("delete-stream", "--stream-name", "shell")
    kinesis("wait", "stream-not-exists", "--stream-name", "shell")


@check
def a_stream_made_at_the_start_is_there():
    assert "ready" in kinesis("list-streams")["StreamNames"]
    summary = kinesis("describe-stream-summary", "--stream-name", "ready")["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 1 and summary["StreamStatus"] == "ACTIVE", summary


@check
def a_missing_stream_is_named_in_the_error():
    try:
        kinesis("describe-stream", "--stream-name", "missing")
    except RuntimeError as error:
        assert "ResourceNotFoundException" in str(error) and "missing" in str(error), error
    else:
        raise AssertionError("missing stream described")
