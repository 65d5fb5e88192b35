// SPDX-License-Identifier: Apache-2.0
// The fleet's totals as a Kafka Streams program, to compare with: of each register the largest reading (a KTable), summed by tenant
// and model (a repartition and a second KTable), written to a topic. The clock runs while who owns which job is read from the
// assignments, and from the first reading until the totals on their way to the topic are the right ones. What starting the program and
// joining its group takes is not in it, stores are in memory, and nothing but sums of one figure is made: all of that favours it.
//
//   java Totals BROKERS at_least_once|exactly_once_v2 COMMIT_MS READINGS SUM STATE_DIR THREADS
//
// READINGS: how many there are. SUM: what all totals together must come to.
// Prints: records seconds records/s, and the seconds of them that the assignments took.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class Totals {
    static final String READINGS = "opmeter.readings.v1", ASSIGNMENTS = "opmeter.assignments.v1", OUT = "opmeter.bench.streams";

    static long assignmentsFrom, assignmentsTook;

    /** What the totals that were written come to. */
    static final class Written {
        private final Map<String, BigInteger> last = new HashMap<>();
        private final BigInteger expected;
        private BigInteger sum = BigInteger.ZERO;
        final CountDownLatch right = new CountDownLatch(1);

        Written(BigInteger expected) {
            this.expected = expected;
        }

        synchronized void take(String key, byte[] v) {
            BigInteger now = big(v), before = last.put(key, now);
            sum = sum.add(now).subtract(before == null ? BigInteger.ZERO : before);
            if (sum.equals(expected))
                right.countDown();
        }
    }

    static BigInteger big(byte[] v) {
        byte[] turned = new byte[17];
        for (int i = 0; i < 16; i++)
            turned[16 - i] = v[i];
        return new BigInteger(turned);
    }

    /** The 16 bytes little-endian at offset 56 of a reading: `exact` (docs/formats.md). */
    static byte[] exactOf(byte[] reading) {
        return Arrays.copyOfRange(reading, 56, 72);
    }

    static long at(byte[] v, int i) {
        return ByteBuffer.wrap(v).order(ByteOrder.LITTLE_ENDIAN).getLong(i);
    }

    static byte[] of(long low, long high) {
        return ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(low).putLong(high).array();
    }

    static byte[] larger(byte[] a, byte[] b) {
        int c = Long.compareUnsigned(at(a, 8), at(b, 8));
        return (c != 0 ? c : Long.compareUnsigned(at(a, 0), at(b, 0))) >= 0 ? a : b;
    }

    static byte[] plus(byte[] a, byte[] b) {
        long low = at(a, 0) + at(b, 0);
        return of(low, at(a, 8) + at(b, 8) + (Long.compareUnsigned(low, at(a, 0)) < 0 ? 1 : 0));
    }

    static byte[] minus(byte[] a, byte[] b) {
        return of(at(a, 0) - at(b, 0), at(a, 8) - at(b, 8) - (Long.compareUnsigned(at(a, 0), at(b, 0)) < 0 ? 1 : 0));
    }

    static Bytes hex(String ledger, String job) {
        byte[] out = new byte[32];
        for (int i = 0; i < 16; i++) {
            out[i] = (byte) Integer.parseInt(ledger.substring(2 * i, 2 * i + 2), 16);
            out[16 + i] = (byte) Integer.parseInt(job.substring(2 * i, 2 * i + 2), 16);
        }
        return Bytes.wrap(out);
    }

    /** (ledger, job) -> tenant/model. */
    static Map<Bytes, String> readAssignments(Properties base) throws Exception {
        Map<Bytes, String[]> found = new HashMap<>();
        Map<Bytes, String> out = new HashMap<>();
        ObjectMapper json = new ObjectMapper();
        Properties p = new Properties();
        p.putAll(base);
        p.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        p.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(p)) {
            List<TopicPartition> parts = new ArrayList<>();
            for (PartitionInfo i : c.partitionsFor(ASSIGNMENTS))
                parts.add(new TopicPartition(ASSIGNMENTS, i.partition()));
            c.assign(parts);
            c.seekToBeginning(parts);
            long left = c.endOffsets(parts).values().stream().mapToLong(Long::longValue).sum();
            while (left > 0)
                for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofSeconds(5))) {
                    if (assignmentsFrom == 0)
                        assignmentsFrom = System.nanoTime();
                    JsonNode d = json.readTree(r.value()).get("data");
                    String kind = d.get("kind").asText();
                    left--;
                    if (!kind.equals("tenant") && !kind.equals("model"))
                        continue;
                    String[] names = found.computeIfAbsent(hex(d.get("ledger").asText(), d.get("job").asText()),
                        k -> new String[] {"unknown", "unassigned"});
                    names[kind.equals("tenant") ? 0 : 1] = d.get("value").asText().intern();
                }
        }
        assignmentsTook = System.nanoTime() - assignmentsFrom;
        Map<String, String> shared = new HashMap<>();
        found.forEach((k, n) -> out.put(k, shared.computeIfAbsent(n[0] + "/" + n[1], s -> s)));
        return out;
    }

    public static void main(String[] args) throws Exception {
        Properties base = new Properties();
        base.put("bootstrap.servers", args[0]);
        Map<Bytes, String> owner = readAssignments(base);
        try (Admin admin = Admin.create(base)) {
            if (!admin.listTopics().names().get().contains(OUT))
                admin.createTopics(Set.of(new NewTopic(OUT, 4, (short) 1))).all().get();
        }
        long expected = Long.parseLong(args[3]);
        Written written = new Written(new BigInteger(args[4]));
        AtomicLong first = new AtomicLong();

        Properties p = new Properties();
        p.putAll(base);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, "opmeter-bench-" + args[1] + "-" + System.nanoTime());
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[1]);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[2]);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[6]);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");

        Serde<Bytes> key = Serdes.Bytes();
        Serde<byte[]> value = Serdes.ByteArray();
        StreamsBuilder b = new StreamsBuilder();
        Materialized<Bytes, byte[], KeyValueStore<Bytes, byte[]>> registers =
            Materialized.as(Stores.inMemoryKeyValueStore("registers"));
        Materialized<String, byte[], KeyValueStore<Bytes, byte[]>> totals = Materialized.as(Stores.inMemoryKeyValueStore("totals"));
        KTable<Bytes, byte[]> largest = b.stream(READINGS, Consumed.with(key, value))
            .peek((k, v) -> first.compareAndSet(0, System.nanoTime()))
            .mapValues(Totals::exactOf)
            .groupByKey(Grouped.with(key, value))
            .aggregate(() -> of(0, 0), (k, v, have) -> larger(have, v), registers.withKeySerde(key).withValueSerde(value));
        largest.groupBy((k, v) -> KeyValue.pair(owner.getOrDefault(Bytes.wrap(Arrays.copyOf(k.get(), 32)), "unknown/unassigned"), v),
                Grouped.with(Serdes.String(), value))
            .aggregate(() -> of(0, 0), (k, v, sum) -> plus(sum, v), (k, v, sum) -> minus(sum, v),
                totals.withKeySerde(Serdes.String()).withValueSerde(value))
            .toStream().peek(written::take).to(OUT, Produced.with(Serdes.String(), value));

        KafkaStreams streams = new KafkaStreams(b.build(), p);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        written.right.await();
        double seconds = (System.nanoTime() - first.get() + assignmentsTook) / 1e9;
        System.out.printf("%d %.3f %.0f %.3f%n", expected, seconds, expected / seconds, assignmentsTook / 1e9);
        System.out.flush();
        Runtime.getRuntime().halt(0); // closing costs seconds and measures nothing
    }
}
