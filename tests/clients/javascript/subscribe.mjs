// Fan-out through the AWS SDK for JavaScript, which speaks HTTP/2 with prior knowledge to a plain endpoint. Argument: the endpoint.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import * as k from "@aws-sdk/client-kinesis";

const kinesis = new k.KinesisClient({
  endpoint: process.argv[2],
  region: "us-east-1",
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
});
const call = (command) => kinesis.send(command);
const stream = "javascript";
const shard = "shardId-000000000000";

await call(new k.CreateStreamCommand({ StreamName: stream, ShardCount: 1 }));
const summary = async () =>
  (await call(new k.DescribeStreamSummaryCommand({ StreamName: stream }))).StreamDescriptionSummary;
while ((await summary()).StreamStatus !== "ACTIVE") await sleep(50);
const { StreamARN } = await summary();
const registered = await call(new k.RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "app" }));
const { ConsumerARN } = registered.Consumer;
const consumer = async () =>
  (await call(new k.DescribeStreamConsumerCommand({ ConsumerARN }))).ConsumerDescription.ConsumerStatus;
while ((await consumer()) !== "ACTIVE") await sleep(50);
const put = (text) =>
  call(new k.PutRecordCommand({ StreamName: stream, PartitionKey: "key", Data: new TextEncoder().encode(text) }));
const subscribe = (StartingPosition) =>
  call(new k.SubscribeToShardCommand({ ConsumerARN, ShardId: shard, StartingPosition }));

await put("a");
const { EventStream } = await subscribe({ Type: "TRIM_HORIZON" });
await assert.rejects(subscribe({ Type: "LATEST" }), { name: "ResourceInUseException" });
const texts = [];
let last;
for await (const { SubscribeToShardEvent: event } of EventStream) {
  texts.push(...event.Records.map((record) => new TextDecoder().decode(record.Data)));
  last = event;
  if (texts.length === 1 && event.Records.length > 0) {
    await put("b");
    await call(
      new k.SplitShardCommand({ StreamName: stream, ShardToSplit: shard, NewStartingHashKey: "1000" }),
    );
  }
}
assert.deepEqual(texts, ["a", "b"]);
assert.equal(last.ContinuationSequenceNumber, undefined);
assert.equal(last.ChildShards.length, 2);
await call(new k.DeleteStreamCommand({ StreamName: stream, EnforceConsumerDeletion: true }));
kinesis.destroy();
