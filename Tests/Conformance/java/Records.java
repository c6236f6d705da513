import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;

/** Producing and consuming without groups. */
final class Records {
    static void scenarios(Map<String, Judge.Scenario> all) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            all.put("records compressed with " + codec, cluster -> comeBack(cluster, codec));
        }
        all.put("positions", Records::positions);
        all.put("refused records", Records::refusedRecords);
    }

    private static void comeBack(Cluster cluster, String codec) throws Exception {
        String topic = cluster.topic(3);
        try (var producer = cluster.producer("compression.type", codec, "linger.ms", 5)) {
            for (int i = 0; i < 3000; i++) {
                var record = new ProducerRecord<>(topic, "k" + i % 17, i % 100 == 0 ? null : "v" + i);
                record.headers().add("number", Integer.toString(i).getBytes()).add("empty", new byte[0]).add("none", null);
                producer.send(record);
            }
            producer.flush();
            Cluster.same(3, producer.partitionsFor(topic).size());
        }
        var partitions = Cluster.partitions(topic, 3);
        try (var consumer = cluster.consumer()) {
            consumer.assign(partitions);
            var found = Cluster.read(consumer, 3000);
            Cluster.same(3000, found.size());
            for (var record : found) {
                int number = Integer.parseInt(new String(record.headers().lastHeader("number").value()));
                Cluster.same("k" + number % 17, record.key());
                Cluster.same(number % 100 == 0 ? null : "v" + number, record.value());
                Cluster.same(0, record.headers().lastHeader("empty").value().length);
                Cluster.same(null, record.headers().lastHeader("none").value());
            }
            // Of one key all are in one partition, in the order in which they were sent.
            var byKey = found.stream().collect(Collectors.groupingBy(record -> record.key()));
            for (var records : byKey.values()) {
                Cluster.same(1L, records.stream().map(record -> record.partition()).distinct().count());
                var numbers = records.stream().map(record -> Integer.valueOf(new String(record.headers().lastHeader("number").value()))).toList();
                Cluster.same(numbers.stream().sorted().toList(), numbers);
            }
            Cluster.same(0L, Cluster.sum(consumer.beginningOffsets(partitions).values()));
            Cluster.same(3000L, Cluster.sum(consumer.endOffsets(partitions).values()));
            for (var partition : partitions) Cluster.same(0L, consumer.currentLag(partition).orElse(-1));
            for (var record : found.subList(0, 50)) {
                var partition = new TopicPartition(topic, record.partition());
                var at = consumer.offsetsForTimes(Map.of(partition, record.timestamp())).get(partition);
                Cluster.same(record.timestamp(), at.timestamp());
                Cluster.holds("the first record of that time", at.offset() <= record.offset());
            }
            var later = Map.of(partitions.get(0), System.currentTimeMillis() + 100_000);
            Cluster.same(null, consumer.offsetsForTimes(later).get(partitions.get(0)));
        }
    }

    private static void positions(Cluster cluster) throws Exception {
        var partition = new TopicPartition(cluster.filled(1, 100), 0);
        var only = List.of(partition);
        try (var consumer = cluster.consumer("auto.offset.reset", "none")) {
            consumer.assign(only);
            Cluster.refusedByPoll(NoOffsetForPartitionException.class, consumer);
            consumer.seekToBeginning(only);
            Cluster.same(100, Cluster.read(consumer, 100).size());
            consumer.seek(partition, 50);
            Cluster.same(50L, Cluster.read(consumer, 50).get(0).offset());
            consumer.pause(only);
            consumer.seek(partition, 0);
            Cluster.holds("a paused partition brings nothing", consumer.poll(Duration.ofMillis(300)).isEmpty());
            consumer.resume(only);
            Cluster.same(100, Cluster.read(consumer, 100).size());
            consumer.seek(partition, 1000);
            Cluster.refusedByPoll(OffsetOutOfRangeException.class, consumer);
        }
        try (var consumer = cluster.consumer("auto.offset.reset", "by_duration:PT1H")) {
            consumer.assign(only);
            Cluster.same(100, Cluster.read(consumer, 100).size());
        }
        try (var consumer = cluster.consumer("auto.offset.reset", "latest")) {
            consumer.assign(only);
            Cluster.same(100L, consumer.position(partition));
        }
    }

    private static void refusedRecords(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (var producer = cluster.producer("max.request.size", 20_000_000)) {
            var tooLarge = new ProducerRecord<>(topic, "k", "v".repeat(2_000_000));
            Cluster.refused(RecordTooLargeException.class, () -> producer.send(tooLarge).get());
            producer.send(new ProducerRecord<>(topic, "k", "v".repeat(1_000_000))).get();
            var tomorrow = new ProducerRecord<>(topic, 0, System.currentTimeMillis() + 86_400_000, "k", "v");
            Cluster.refused(InvalidTimestampException.class, () -> producer.send(tomorrow).get());
            Cluster.refused(InvalidTopicException.class, () -> producer.send(new ProducerRecord<>("no topic", "k", "v")).get());
        }
        Administration.alter(cluster, topic, TopicConfig.CLEANUP_POLICY_CONFIG, "compact");
        try (var producer = cluster.producer()) {
            Cluster.refused(InvalidRecordException.class, () -> producer.send(new ProducerRecord<>(topic, "no key")).get());
            producer.send(new ProducerRecord<>(topic, "k", "v")).get();
        }
    }
}
