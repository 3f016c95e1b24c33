// Takes aggregates apart by AWS's deaggregator. A line of JSON in for each: { data, partition_key }; one out: its records, each
// [partition key, explicit hash key or null, payload in hexadecimal digits].

import { createInterface } from "node:readline";
import aggregation from "aws-kinesis-agg";

for await (const line of createInterface({ input: process.stdin })) {
  const { data, partition_key: partitionKey } = JSON.parse(line);
  const record = { data: Buffer.from(data, "hex").toString("base64"), partitionKey, sequenceNumber: "7" };
  aggregation.deaggregateSync(record, true, (error, parts) => {
    if (error) throw error;
    const hex = (base64) => Buffer.from(base64, "base64").toString("hex");
    const out = parts.map((part, index) => {
      if (part.subSequenceNumber !== index) throw new Error(`part ${index} is numbered ${part.subSequenceNumber}`);
      return [part.partitionKey, part.explicitPartitionKey ?? null, hex(part.data)];
    });
    console.log(JSON.stringify(out));
  });
}
