"""Fan-out through boto3, which has HTTP/1.1 only; in clear text and with TLS."""

import json
import os
import threading
import time
import urllib.request

import boto3
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import EventStreamError
from harness import check, error_code

SHARD = "shardId-000000000000"


def client(tls=False):
    if tls:
        return boto3.client("kinesis", endpoint_url=os.environ["KCL_TLS_ENDPOINT"], verify=os.environ["KCL_TLS_TRUST"])
    return boto3.client("kinesis")


class Stream:
    """A stream of one shard with a consumer."""

    def __init__(self, kinesis, name):
        self.kinesis, self.name = kinesis, name
        kinesis.create_stream(StreamName=name, ShardCount=1)
        self.settle()
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        registered = kinesis.register_stream_consumer(StreamARN=summary["StreamARN"], ConsumerName="app")
        self.consumer = registered["Consumer"]["ConsumerARN"]
        while self.consumer_status() != "ACTIVE":
            time.sleep(0.05)

    def settle(self):
        self.kinesis.get_waiter("stream_exists").wait(
            StreamName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
        )

    def consumer_status(self):
        described = self.kinesis.describe_stream_consumer(ConsumerARN=self.consumer)
        return described["ConsumerDescription"]["ConsumerStatus"]

    def put(self, text):
        self.kinesis.put_record(StreamName=self.name, PartitionKey="key", Data=text.encode())

    def subscribe(self, kind, **position):
        """The events of a subscription."""
        answer = self.kinesis.subscribe_to_shard(
            ConsumerARN=self.consumer, ShardId=SHARD, StartingPosition={"Type": kind, **position}
        )
        for event in answer["EventStream"]:
            yield event["SubscribeToShardEvent"]

    def delete(self):
        self.kinesis.delete_stream(StreamName=self.name, EnforceConsumerDeletion=True)


def texts(event):
    return [record["Data"].decode() for record in event["Records"]]


def fault(**wanted):
    """Sets a fault for the next subscription of the plain server."""
    request = urllib.request.Request(
        os.environ["AWS_ENDPOINT_URL_KINESIS"] + "/__kcl/faults",
        json.dumps({"next": [{"operation": "SubscribeToShard", "fault": wanted}]}).encode(),
    )
    urllib.request.urlopen(request, timeout=10).close()


def read_to_the_end(kinesis, name):
    stream = Stream(kinesis, name)
    stream.put("a")
    events = stream.subscribe("TRIM_HORIZON")
    first = next(events)
    assert texts(first) == ["a"], first
    threading.Timer(0.2, stream.put, ["b"]).start()
    second = next(events)
    assert texts(second) == ["b"] and second["MillisBehindLatest"] == 0, second
    kinesis.split_shard(StreamName=name, ShardToSplit=SHARD, NewStartingHashKey=str(2**127))
    *_, last = events
    assert "ContinuationSequenceNumber" not in last, last
    assert [child["ParentShards"] for child in last["ChildShards"]] == [[SHARD]] * 2, last
    number = first["ContinuationSequenceNumber"]
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        again = [text for event in stream.subscribe(kind, SequenceNumber=number) for text in texts(event)]
        assert again == ["b"], again
    stream.delete()


@check
def a_subscription_tells_of_records_as_they_come_and_of_the_end_of_the_shard():
    read_to_the_end(client(), "subscribed")


@check
def a_subscription_goes_over_tls():
    read_to_the_end(client(tls=True), "subscribed")


@check
def a_second_subscription_is_refused_and_a_deregistered_consumer_ends_with_an_error_event():
    stream = Stream(client(), "refused")
    events = stream.subscribe("LATEST")
    assert next(events)["Records"] == []
    position = {"Type": "LATEST"}
    ask = {"ConsumerARN": stream.consumer, "ShardId": SHARD, "StartingPosition": position}
    assert error_code(stream.kinesis.subscribe_to_shard, **ask) == "ResourceInUseException"
    stream.kinesis.deregister_stream_consumer(ConsumerARN=stream.consumer)
    try:
        list(events)
    except EventStreamError as error:
        assert error.response["Error"]["Code"] == "ResourceNotFoundException", error.response
    else:
        raise AssertionError("ended without an error")
    stream.delete()


@check
def a_damaged_message_and_an_error_event_are_noticed():
    stream = Stream(client(), "broken")
    for kind, expected in (("bad_checksum", ChecksumMismatch), ({"error": "KMSDisabledException"}, EventStreamError)):
        fault(stream={"after": 1, "fault": kind})
        events = stream.subscribe("LATEST")
        next(events)
        try:
            next(events)
        except expected:
            pass
        else:
            raise AssertionError(f"{kind} was not noticed")
    stream.delete()
