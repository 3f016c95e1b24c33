import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.RetrievalSpecificConfig;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * The Kinesis Client Library as it is, through a split and a merge. Arguments: the endpoints of Kinesis and DynamoDB, and `fanout` or
 * `polling`.
 */
public class Kcl {
    static final int KEYS = 40;
    static final Map<String, List<String>> RECEIVED = new TreeMap<>();
    static KinesisAsyncClient kinesis;
    static String stream;

    public static void main(String[] arguments) throws Exception {
        var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local"));
        kinesis = KinesisAsyncClient.builder().endpointOverride(URI.create(arguments[0])).region(Region.US_EAST_1)
            .credentialsProvider(credentials)
            .httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2)).build();
        var dynamodb = DynamoDbAsyncClient.builder().endpointOverride(URI.create(arguments[1])).region(Region.US_EAST_1)
            .credentialsProvider(credentials).build();
        // It is given one, but it has nothing to say to it.
        var cloudwatch = CloudWatchAsyncClient.builder().endpointOverride(URI.create(arguments[1])).region(Region.US_EAST_1)
            .credentialsProvider(credentials).build();
        stream = "kcl-" + arguments[2];
        kinesis.createStream(b -> b.streamName(stream).shardCount(2)).get();
        settle();
        put(0);

        var configs = new ConfigsBuilder(stream, stream, kinesis, dynamodb, cloudwatch, UUID.randomUUID().toString(), Processor::new);
        RetrievalSpecificConfig retrieval = arguments[2].equals("fanout")
            ? new FanOutConfig(kinesis).streamName(stream).applicationName(stream)
            : new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(250);
        var position = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        RetrievalConfig reading = configs.retrievalConfig().retrievalSpecificConfig(retrieval)
            .streamTracker(new SingleStreamTracker(stream, position));
        var leases = configs.leaseManagementConfig().shardSyncIntervalMillis(1000L).failoverTimeMillis(2000L)
            .leasesRecoveryAuditorExecutionFrequencyMillis(2000L);
        var scheduler = new Scheduler(configs.checkpointConfig(), configs.coordinatorConfig().shardConsumerDispatchPollIntervalMillis(100L)
            .parentShardPollIntervalMillis(500L), leases, configs.lifecycleConfig(),
            configs.metricsConfig().metricsFactory(new NullMetricsFactory()), configs.processorConfig(), reading);
        var worker = new Thread(scheduler);
        worker.setDaemon(true);
        worker.start();

        await(1);
        Shard first = open().get(0);
        var middle = new java.math.BigInteger(first.hashKeyRange().endingHashKey()).shiftRight(1).toString();
        kinesis.splitShard(b -> b.streamName(stream).shardToSplit(first.shardId()).newStartingHashKey(middle)).get();
        settle();
        put(1);
        await(2);
        List<Shard> halves = open().stream().filter(shard -> first.shardId().equals(shard.parentShardId())).toList();
        kinesis.mergeShards(b -> b.streamName(stream).shardToMerge(halves.get(0).shardId())
            .adjacentShardToMerge(halves.get(1).shardId())).get();
        settle();
        put(2);
        await(3);
        synchronized (RECEIVED) {
            for (var of : RECEIVED.entrySet()) {
                if (!of.getValue().equals(List.of("0", "1", "2"))) {
                    throw new AssertionError("not once and in order: " + of);
                }
            }
        }
        scheduler.startGracefulShutdown().get(30, TimeUnit.SECONDS);
        System.exit(0);
    }

    static void put(int generation) throws Exception {
        for (int key = 0; key < KEYS; key++) {
            String name = "key-" + key;
            kinesis.putRecord(b -> b.streamName(stream).partitionKey(name).data(SdkBytes.fromUtf8String("" + generation))).get();
        }
    }

    static List<Shard> open() throws Exception {
        return kinesis.listShards(b -> b.streamName(stream)).get().shards().stream()
            .filter(shard -> shard.sequenceNumberRange().endingSequenceNumber() == null)
            .sorted(java.util.Comparator.comparing(shard -> new java.math.BigInteger(shard.hashKeyRange().startingHashKey())))
            .toList();
    }

    static void settle() throws Exception {
        while (kinesis.describeStreamSummary(b -> b.streamName(stream)).get().streamDescriptionSummary().streamStatus()
            != StreamStatus.ACTIVE) {
            Thread.sleep(50);
        }
    }

    /** Waits until every key has come so often. */
    static void await(int generations) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(90);
        synchronized (RECEIVED) {
            while (RECEIVED.size() < KEYS || RECEIVED.values().stream().anyMatch(of -> of.size() < generations)) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionError("generation " + generations + " does not come: " + RECEIVED);
                }
                RECEIVED.wait(100);
            }
        }
    }

    static class Processor implements ShardRecordProcessor {
        @Override
        public void initialize(InitializationInput input) { }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            synchronized (RECEIVED) {
                input.records().forEach(record -> {
                    byte[] data = new byte[record.data().remaining()];
                    record.data().get(data);
                    RECEIVED.computeIfAbsent(record.partitionKey(), key -> new ArrayList<>()).add(new String(data));
                });
                RECEIVED.notifyAll();
            }
            try {
                input.checkpointer().checkpoint();
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) { }

        @Override
        public void shardEnded(ShardEndedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) { }
    }
}
