import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.UnsupportedVersionException;

/** Configurations, and the cluster as an administrator sees it. */
final class Administration {
    static void scenarios(Map<String, Judge.Scenario> all) {
        all.put("configurations", Administration::configurations);
        all.put("cluster", Administration::cluster);
        all.put("replicas of one broker", Administration::replicas);
    }

    /** The broker's id. */
    static int broker(Cluster cluster) throws Exception {
        return cluster.admin.describeCluster().nodes().get().iterator().next().id();
    }

    static void alter(Cluster cluster, String topic, String name, String value) throws Exception {
        alter(cluster, topic, new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET));
    }

    private static void alter(Cluster cluster, String topic, AlterConfigOp... changes) throws Exception {
        cluster.admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, topic), List.of(changes))).all().get();
    }

    private static void configurations(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        alter(cluster, topic, new AlterConfigOp(new ConfigEntry("retention.ms", "9999"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var retention = described(cluster, resource, "retention.ms");
        Cluster.same("9999", retention.value());
        Cluster.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.source());
        Cluster.same(ConfigEntry.ConfigType.LONG, retention.type());
        Cluster.holds("it is documented", !retention.documentation().isEmpty());
        Cluster.same("9999", retention.synonyms().get(0).value());
        Cluster.same("delete,compact", described(cluster, resource, "cleanup.policy").value());
        Cluster.refused(InvalidConfigurationException.class, () -> alter(cluster, topic, "retention.ms", "soon"));
        alter(cluster, topic, new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE));
        Cluster.same("604800000", described(cluster, resource, "retention.ms").value());

        var broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(broker(cluster)));
        Cluster.same(ConfigEntry.ConfigSource.STATIC_BROKER_CONFIG, described(cluster, broker, "log.dirs").source());
        var logger = new ConfigResource(ConfigResource.Type.BROKER_LOGGER, broker.name());
        Cluster.same("INFO", described(cluster, logger, "root").value());
    }

    private static ConfigEntry described(Cluster cluster, ConfigResource resource, String name) throws Exception {
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        return cluster.admin.describeConfigs(List.of(resource), options).all().get().get(resource).get(name);
    }

    private static void cluster(Cluster cluster) throws Exception {
        var described = cluster.admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        Cluster.same(1, described.nodes().get().size());
        Cluster.same(described.nodes().get().iterator().next(), described.controller().get());
        Cluster.same(22, described.clusterId().get().length());
        Cluster.holds("all is allowed", !described.authorizedOperations().get().isEmpty());
        var features = cluster.admin.describeFeatures().featureMetadata().get().finalizedFeatures();
        Cluster.same(Set.of("group.version", "transaction.version"), features.keySet());
        // What is not built is not offered, and the client says so by itself.
        Cluster.refused(UnsupportedVersionException.class, () -> cluster.admin.describeAcls(AclBindingFilter.ANY).values().get());
        Cluster.refused(UnsupportedVersionException.class, () -> cluster.admin.describeMetadataQuorum().quorumInfo().get());
    }

    private static void replicas(Cluster cluster) throws Exception {
        String topic = cluster.filled(2, 50);
        int broker = broker(cluster);
        var first = new TopicPartition(topic, 0);
        var directory = cluster.admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values().iterator().next();
        Cluster.holds("it takes room", directory.replicaInfos().get(first).size() > 0);
        Cluster.holds("of the disk", directory.totalBytes().orElse(0) > directory.usableBytes().orElse(Long.MAX_VALUE));
        var replica = new TopicPartitionReplica(topic, 0, broker);
        Cluster.holds("it is somewhere", cluster.admin.describeReplicaLogDirs(List.of(replica)).all().get().get(replica).getCurrentReplicaLogDir() != null);
        var election = cluster.admin.electLeaders(ElectionType.PREFERRED, Set.of(first)).partitions().get().get(first);
        Cluster.holds("it has its leader", election.get() instanceof ElectionNotNeededException);
        reassign(cluster, first, Optional.of(new NewPartitionReassignment(List.of(broker))));
        Cluster.refused(InvalidReplicaAssignmentException.class,
            () -> reassign(cluster, first, Optional.of(new NewPartitionReassignment(List.of(broker + 1)))));
        Cluster.refused(NoReassignmentInProgressException.class, () -> reassign(cluster, first, Optional.empty()));
        Cluster.same(Map.of(), cluster.admin.listPartitionReassignments().reassignments().get());
    }

    private static void reassign(Cluster cluster, TopicPartition partition, Optional<NewPartitionReassignment> to) throws Exception {
        cluster.admin.alterPartitionReassignments(Map.of(partition, to)).all().get();
    }
}
