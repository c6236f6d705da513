import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/** Transactions, with what an administrator sees of them and does to them. */
final class Transactions {
    static void scenarios(Map<String, Judge.Scenario> all) {
        for (String protocol : List.of("classic", "consumer")) {
            all.put("transactions of records and offsets of the " + protocol + " protocol", cluster -> exactlyOnce(cluster, protocol));
        }
        all.put("fencing", Transactions::fencing);
        all.put("hanging transaction", Transactions::hanging);
    }

    private static void exactlyOnce(Cluster cluster, String protocol) throws Exception {
        String from = cluster.filled(1, 20), to = cluster.topic(2), group = "g-" + from, id = "t-" + from;
        var input = new TopicPartition(from, 0);
        var output = Cluster.partitions(to, 2);
        try (var producer = cluster.producer("transactional.id", id);
            var consumer = cluster.consumer("group.id", group, "group.protocol", protocol, "isolation.level", "read_committed")) {
            producer.initTransactions();
            consumer.subscribe(List.of(from));
            var records = Cluster.read(consumer, 20);
            producer.beginTransaction();
            for (var record : records) producer.send(new ProducerRecord<>(to, record.key(), record.value()));
            producer.sendOffsetsToTransaction(Map.of(input, new OffsetAndMetadata(20)), consumer.groupMetadata());
            producer.commitTransaction();

            producer.beginTransaction();
            producer.send(new ProducerRecord<>(to, 0, "k", "never seen")).get();
            producer.sendOffsetsToTransaction(Map.of(input, new OffsetAndMetadata(5)), consumer.groupMetadata());
            Cluster.holds("it is listed", cluster.admin.listTransactions().all().get().stream().anyMatch(listed -> listed.transactionalId().equals(id)));
            var described = cluster.admin.describeTransactions(List.of(id)).all().get().get(id);
            Cluster.same(TransactionState.ONGOING, described.state());
            Cluster.holds("with its partition", described.topicPartitions().contains(output.get(0)));
            var active = cluster.admin.describeProducers(output).all().get().get(output.get(0)).activeProducers();
            Cluster.same(1L, active.stream().filter(one -> one.currentTransactionStartOffset().isPresent()).count());
            producer.abortTransaction();

            try (var reader = cluster.consumer("isolation.level", "read_committed")) {
                reader.assign(output);
                Cluster.same(20, Cluster.read(reader, 20).size());
                reader.seekToEnd(output);
                // What was aborted takes offsets, and so do the markers.
                Cluster.same(20L + 1 + 3, Cluster.sum(output.stream().map(reader::position).toList()));
            }
            try (var reader = cluster.consumer("isolation.level", "read_uncommitted")) {
                reader.assign(output);
                Cluster.same(21, Cluster.read(reader, 21).size());
            }
            Cluster.same(20L, Groups.offsets(cluster, group).get(input).offset());
        }
    }

    private static void fencing(Cluster cluster) throws Exception {
        String topic = cluster.topic(1), id = "t-" + topic;
        try (var older = cluster.producer("transactional.id", id); var younger = cluster.producer("transactional.id", id)) {
            older.initTransactions();
            older.beginTransaction();
            older.send(new ProducerRecord<>(topic, "k", "aborted")).get();
            younger.initTransactions();
            Cluster.refused(KafkaException.class, older::commitTransaction);
            younger.beginTransaction();
            younger.send(new ProducerRecord<>(topic, "k", "committed")).get();
            younger.commitTransaction();
            younger.beginTransaction();
            younger.send(new ProducerRecord<>(topic, "k", "aborted by the administrator")).get();
            cluster.admin.fenceProducers(List.of(id)).all().get();
            Cluster.refused(KafkaException.class, younger::commitTransaction);
        }
        try (var reader = cluster.consumer("isolation.level", "read_committed")) {
            reader.assign(Cluster.partitions(topic, 1));
            cluster.fill(topic, 1);
            Cluster.same(List.of("committed", "v0"), Cluster.read(reader, 2).stream().map(record -> record.value()).toList());
        }
    }

    private static void hanging(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        var partition = new TopicPartition(topic, 0);
        try (var producer = cluster.producer("transactional.id", "t-" + topic); var reader = cluster.consumer("isolation.level", "read_committed")) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "k", "v")).get();
            var stable = List.of(partition);
            Cluster.same(0L, reader.endOffsets(stable).get(partition));
            var active = cluster.admin.describeProducers(stable).all().get().get(partition).activeProducers().get(0);
            var abort = new AbortTransactionSpec(partition, active.producerId(), (short) active.producerEpoch(), active.coordinatorEpoch().orElse(0));
            cluster.admin.abortTransaction(abort).all().get();
            Cluster.same(2L, reader.endOffsets(stable).get(partition));
        }
    }
}
