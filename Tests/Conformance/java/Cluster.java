import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The broker under test as one scenario sees it: clients of it, topics of the scenario's own, and ways to judge. */
final class Cluster implements AutoCloseable {
    /** Ends what never comes; every scenario takes a small part of it. */
    static final Duration PATIENCE = Duration.ofSeconds(60);

    interface Step {
        void run() throws Exception;
    }

    final Admin admin;
    private final String bootstrap;
    private final String scenario;
    private int topics;

    Cluster(String bootstrap, String scenario) {
        this.bootstrap = bootstrap;
        this.scenario = scenario;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    @Override
    public void close() {
        admin.close();
    }

    // Clients

    /** A producer with the given properties, name after value, beside its defaults. */
    KafkaProducer<String, String> producer(Object... properties) {
        return new KafkaProducer<>(properties(Map.of(), properties), new StringSerializer(), new StringSerializer());
    }

    /** A consumer that begins at the start and commits when told to, but for the given properties. */
    KafkaConsumer<String, String> consumer(Object... properties) {
        var defaults = Map.<String, Object>of("auto.offset.reset", "earliest", "enable.auto.commit", false);
        return new KafkaConsumer<>(properties(defaults, properties), new StringDeserializer(), new StringDeserializer());
    }

    private Map<String, Object> properties(Map<String, Object> defaults, Object[] pairs) {
        var all = new HashMap<>(defaults);
        all.put("bootstrap.servers", bootstrap);
        for (int at = 0; at < pairs.length; at += 2) all.put((String) pairs[at], pairs[at + 1]);
        return all;
    }

    // Topics

    /** A name that nothing else uses. */
    String name() {
        return scenario.replace(' ', '-') + "-" + ++topics;
    }

    String topic(int partitions) throws Exception {
        return topic(name(), partitions);
    }

    String topic(String name, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all().get();
        return name;
    }

    /** A topic with that many records, keys k0 and so on, values v0 and so on. */
    String filled(int partitions, int records) throws Exception {
        String topic = topic(partitions);
        fill(topic, records);
        return topic;
    }

    void fill(String topic, int records) throws Exception {
        try (var producer = producer()) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < records; i++) sent.add(producer.send(new ProducerRecord<>(topic, "k" + i, "v" + i)));
            for (var one : sent) one.get();
        }
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(index -> new TopicPartition(topic, index)).toList();
    }

    // Waiting and judging

    /** Polls until there are so many records; a poll that brings more is read whole. */
    static List<ConsumerRecord<String, String>> read(Consumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        await(count + " records", () -> {
            consumer.poll(Duration.ofMillis(100)).forEach(found::add);
            return found.size() >= count;
        });
        return found;
    }

    /** Asks again and again; whoever asks does so by a poll that waits. */
    static void await(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) throw new AssertionError("waited in vain for " + what);
        }
    }

    static void same(Object expected, Object found) {
        if (!Objects.equals(expected, found)) throw new AssertionError("expected " + expected + ", found " + found);
    }

    static void holds(String what, boolean condition) {
        if (!condition) throw new AssertionError("does not hold: " + what);
    }

    static long sum(Collection<Long> numbers) {
        return numbers.stream().mapToLong(Long::longValue).sum();
    }

    /** The step fails, and an error of that kind is its cause, or its cause's. */
    static void refused(Class<? extends Throwable> kind, Step step) {
        try {
            step.run();
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (kind.isInstance(cause)) return;
            }
            throw new AssertionError("expected " + kind.getSimpleName() + ", found " + error, error);
        }
        throw new AssertionError("expected " + kind.getSimpleName() + ", found none");
    }

    /** A consumer's poll ends with an error of that kind. */
    static void refusedByPoll(Class<? extends Throwable> kind, Consumer<String, String> consumer) {
        refused(kind, () -> await(kind.getSimpleName(), () -> {
            consumer.poll(Duration.ofMillis(100));
            return false;
        }));
    }
}
