import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics by name and by id, their partitions and their records' offsets. */
final class Topics {
    static void scenarios(Map<String, Judge.Scenario> all) {
        all.put("topics from their creation to their end", Topics::lives);
        all.put("refused topics", Topics::refused);
        all.put("offsets of a topic", Topics::offsets);
    }

    private static void lives(Cluster cluster) throws Exception {
        String topic = cluster.name();
        var wanted = List.of(new NewTopic(topic, Optional.of(2), Optional.empty()).configs(Map.of("retention.ms", "1234")));
        cluster.admin.createTopics(wanted, new CreateTopicsOptions().validateOnly(true)).all().get();
        Cluster.refused(UnknownTopicOrPartitionException.class, () -> cluster.admin.describeTopics(List.of(topic)).allTopicNames().get());
        var created = cluster.admin.createTopics(wanted);
        Cluster.same(2, created.numPartitions(topic).get());
        Cluster.same(1, created.replicationFactor(topic).get());
        Cluster.same("1234", created.config(topic).get().get("retention.ms").value());
        Uuid id = created.topicId(topic).get();

        var options = new DescribeTopicsOptions().includeAuthorizedOperations(true);
        var byName = cluster.admin.describeTopics(List.of(topic), options).allTopicNames().get().get(topic);
        var byID = cluster.admin.describeTopics(TopicCollection.ofTopicIds(List.of(id)), options).allTopicIds().get().get(id);
        for (var one : List.of(byName, byID)) {
            Cluster.same(topic, one.name());
            Cluster.same(id, one.topicId());
            Cluster.holds("all is allowed", !one.authorizedOperations().isEmpty());
        }
        Cluster.same(2, byID.partitions().size());
        Cluster.same(2, byName.partitions().size());
        Cluster.same(byName.partitions().get(0).replicas(), byName.partitions().get(0).isr());
        Cluster.holds("it is listed", cluster.admin.listTopics().names().get().contains(topic));

        cluster.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        Cluster.same(5, cluster.admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
        Cluster.refused(InvalidPartitionsException.class, () -> cluster.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get());

        cluster.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        Cluster.refused(UnknownTopicOrPartitionException.class, () -> cluster.admin.deleteTopics(List.of(topic)).all().get());
        Cluster.refused(UnknownTopicIdException.class, () -> cluster.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get());
        Cluster.refused(UnknownTopicIdException.class, () -> cluster.admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get());
    }

    private static void refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1), other = cluster.name();
        refused(TopicExistsException.class, cluster, new NewTopic(topic, 1, (short) 1));
        refused(InvalidReplicationFactorException.class, cluster, new NewTopic(other, 1, (short) 3));
        refused(InvalidPartitionsException.class, cluster, new NewTopic(other, 0, (short) 1));
        refused(InvalidConfigurationException.class, cluster, new NewTopic(other, 1, (short) 1).configs(Map.of("no.such.config", "1")));
        refused(InvalidTopicException.class, cluster, new NewTopic("no topic", 1, (short) 1));
        int broker = Administration.broker(cluster);
        cluster.admin.createTopics(List.of(new NewTopic(other, Map.of(0, List.of(broker), 1, List.of(broker))))).all().get();
        Cluster.same(2, cluster.admin.describeTopics(List.of(other)).allTopicNames().get().get(other).partitions().size());
    }

    private static void refused(Class<? extends Throwable> kind, Cluster cluster, NewTopic topic) {
        Cluster.refused(kind, () -> cluster.admin.createTopics(List.of(topic)).all().get());
    }

    private static void offsets(Cluster cluster) throws Exception {
        var partition = new TopicPartition(cluster.filled(1, 100), 0);
        Cluster.same(0L, offset(cluster, partition, OffsetSpec.earliest()));
        Cluster.same(100L, offset(cluster, partition, OffsetSpec.latest()));
        Cluster.same(0L, offset(cluster, partition, OffsetSpec.forTimestamp(0)));
        Cluster.same(0L, offset(cluster, partition, OffsetSpec.earliestLocal()));
        Cluster.same(-1L, offset(cluster, partition, OffsetSpec.latestTiered()));
        long newest = offset(cluster, partition, OffsetSpec.maxTimestamp());
        Cluster.holds("an offset of its own", newest >= 0 && newest < 100);
        var deleted = cluster.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(30)));
        Cluster.same(30L, deleted.lowWatermarks().get(partition).get().lowWatermark());
        Cluster.same(30L, offset(cluster, partition, OffsetSpec.earliest()));
        Cluster.refused(OffsetOutOfRangeException.class,
            () -> cluster.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(101))).all().get());
        cluster.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all().get();
        Cluster.same(100L, offset(cluster, partition, OffsetSpec.earliest()));
    }

    private static long offset(Cluster cluster, TopicPartition partition, OffsetSpec spec) throws Exception {
        return cluster.admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }
}
