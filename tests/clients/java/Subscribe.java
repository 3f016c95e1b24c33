import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.TrustManagerFactory;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.ResourceInUseException;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StartingPosition;
import software.amazon.awssdk.services.kinesis.model.StreamDescriptionSummary;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/**
 * Fan-out through the asynchronous client of the AWS SDK for Java, over HTTP/2: with prior knowledge on a plain endpoint, by agreement on
 * one with TLS. Arguments: the endpoint, and the file with the certificate to trust, if it needs one.
 */
public class Subscribe {
    static KinesisAsyncClient kinesis;

    public static void main(String[] arguments) throws Exception {
        NettyNioAsyncHttpClient.Builder http = NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2);
        if (arguments.length > 1) {
            TrustManagerFactory trust = trusting(Path.of(arguments[1]));
            http.tlsTrustManagersProvider(trust::getTrustManagers);
        }
        kinesis = KinesisAsyncClient.builder()
            .endpointOverride(URI.create(arguments[0]))
            .region(Region.US_EAST_1)
            .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local")))
            .httpClientBuilder(http)
            .build();
        check("java-" + arguments.length);
        kinesis.close();
    }

    static TrustManagerFactory trusting(Path certificate) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var pem = Files.newInputStream(certificate)) {
            store.setCertificateEntry("local", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        return trust;
    }

    static void check(String stream) throws Exception {
        kinesis.createStream(b -> b.streamName(stream).shardCount(1)).get();
        while (summary(stream).streamStatus() != StreamStatus.ACTIVE) {
            Thread.sleep(50);
        }
        String arn = summary(stream).streamARN();
        String consumer = kinesis.registerStreamConsumer(b -> b.streamARN(arn).consumerName("app")).get().consumer().consumerARN();
        while (kinesis.describeStreamConsumer(b -> b.consumerARN(consumer)).get().consumerDescription().consumerStatus()
            != ConsumerStatus.ACTIVE) {
            Thread.sleep(50);
        }
        String shard = "shardId-000000000000";
        put(stream, "a");
        put(stream, "b");

        Subscription first = new Subscription(consumer, shard, StartingPosition.builder().type(ShardIteratorType.TRIM_HORIZON).build());
        first.awaitRecords(2);
        expect(failure(new Subscription(consumer, shard, latest()).ended) instanceof ResourceInUseException, "a second one is refused");
        expect(failure(new Subscription(consumer, "shardId-000000000009", latest()).ended) instanceof ResourceNotFoundException, "no such shard");

        put(stream, "c");
        first.awaitRecords(3);
        kinesis.splitShard(b -> b.streamName(stream).shardToSplit(shard).newStartingHashKey("1000")).get();
        first.ended.get(20, TimeUnit.SECONDS);
        expect(first.texts().equals(List.of("a", "b", "c")), "all records, in order: " + first.texts());
        SubscribeToShardEvent last = first.last();
        expect(last.continuationSequenceNumber() == null && last.childShards().size() == 2, "the end of the shard: " + last);

        String from = first.events().get(0).continuationSequenceNumber();
        StartingPosition after = StartingPosition.builder().type(ShardIteratorType.AFTER_SEQUENCE_NUMBER).sequenceNumber(from).build();
        Subscription again = new Subscription(consumer, shard, after);
        again.ended.get(20, TimeUnit.SECONDS);
        int told = first.events().get(0).records().size();
        expect(again.texts().equals(first.texts().subList(told, 3)), "goes on after a continuation: " + again.texts());

        Subscription child = new Subscription(consumer, last.childShards().get(0).shardId(), latest());
        child.awaitEvents(1);
        kinesis.deleteStream(b -> b.streamName(stream).enforceConsumerDeletion(true)).get();
        expect(failure(child.ended) instanceof ResourceNotFoundException, "a deleted stream ends it with an error event");
    }

    static StreamDescriptionSummary summary(String stream) throws Exception {
        return kinesis.describeStreamSummary(b -> b.streamName(stream)).get().streamDescriptionSummary();
    }

    static StartingPosition latest() {
        return StartingPosition.builder().type(ShardIteratorType.LATEST).build();
    }

    static void put(String stream, String data) throws Exception {
        kinesis.putRecord(b -> b.streamName(stream).partitionKey("key").data(SdkBytes.fromUtf8String(data))).get();
    }

    static Throwable failure(CompletableFuture<Void> ended) throws Exception {
        try {
            ended.get(20, TimeUnit.SECONDS);
            return null;
        } catch (ExecutionException error) {
            return error.getCause();
        }
    }

    static void expect(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    /** One that collects all it is told. */
    static class Subscription {
        private final List<SubscribeToShardEvent> events = new ArrayList<>();
        final CompletableFuture<Void> ended;

        Subscription(String consumer, String shard, StartingPosition position) {
            SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
                .onError(error -> { })
                .subscriber(event -> {
                    if (event instanceof SubscribeToShardEvent) {
                        add((SubscribeToShardEvent) event);
                    }
                })
                .build();
            ended = kinesis.subscribeToShard(b -> b.consumerARN(consumer).shardId(shard).startingPosition(position), handler);
        }

        synchronized void add(SubscribeToShardEvent event) {
            events.add(event);
            notifyAll();
        }

        synchronized List<SubscribeToShardEvent> events() {
            return new ArrayList<>(events);
        }

        SubscribeToShardEvent last() {
            List<SubscribeToShardEvent> all = events();
            return all.get(all.size() - 1);
        }

        List<String> texts() {
            List<String> texts = new ArrayList<>();
            events().forEach(event -> event.records().forEach(record -> texts.add(record.data().asUtf8String())));
            return texts;
        }

        void awaitRecords(int count) throws Exception {
            await(() -> texts().size() >= count);
        }

        void awaitEvents(int count) throws Exception {
            await(() -> events().size() >= count);
        }

        private synchronized void await(java.util.function.BooleanSupplier met) throws Exception {
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (!met.getAsBoolean()) {
                expect(System.nanoTime() < deadline && !ended.isCompletedExceptionally(), "what was awaited does not come: " + ended);
                wait(100);
            }
        }
    }
}
