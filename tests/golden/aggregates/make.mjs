// Packs scenes by JavaScript's aggregator. Usage: make.mjs SCENES FOLDER

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import aggregation from "aws-kinesis-agg";

const [scenes, folder] = process.argv.slice(2);
for (const [name, records] of Object.entries(JSON.parse(readFileSync(scenes, "utf8")))) {
    const aggregator = new aggregation.RecordAggregator();
    for (const [partitionKey, hashKey, data] of records) {
        aggregator.addUserRecord({
            partitionKey,
            data: Buffer.from(data, "hex"),
            ...(hashKey === null ? {} : { explicitHashKey: hashKey }),
        });
    }
    writeFileSync(join(folder, name), aggregator.build().data);
}
