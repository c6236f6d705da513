import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidRegularExpression;

/** Consumer groups of both protocols, and what an administrator does to them. */
final class Groups {
    static void scenarios(Map<String, Judge.Scenario> all) {
        all.put("group of the classic protocol", cluster -> group(cluster, "classic", GroupType.CLASSIC));
        all.put("group of the consumer protocol", cluster -> group(cluster, "consumer", GroupType.CONSUMER));
        all.put("group that moves to the consumer protocol and back", Groups::moves);
        all.put("static member", Groups::staticMember);
        all.put("patterns", Groups::patterns);
    }

    private static void group(Cluster cluster, String protocol, GroupType type) throws Exception {
        String topic = cluster.filled(4, 400), group = "g-" + topic;
        Object[] membership = {"group.id", group, "group.protocol", protocol};
        try (var one = cluster.consumer(membership)) {
            one.subscribe(List.of(topic));
            Cluster.same(400, Cluster.read(one, 400).size());
            one.commitSync();
            try (var other = cluster.consumer(membership)) {
                other.subscribe(List.of(topic));
                halves(one, other);
                var described = cluster.admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                Cluster.same(2, described.members().size());
                Cluster.same(GroupState.STABLE, described.groupState());
                Cluster.same(type, described.type());
                Cluster.refused(GroupNotEmptyException.class, () -> cluster.admin.deleteConsumerGroups(List.of(group)).all().get());
                Cluster.refused(GroupSubscribedToTopicException.class,
                    () -> cluster.admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0))).all().get());
            }
            Cluster.same(4, one.committed(new HashSet<>(Cluster.partitions(topic, 4))).size());
        }
        Cluster.same(400L, Cluster.sum(offsets(cluster, group).values().stream().map(OffsetAndMetadata::offset).toList()));
        administer(cluster, group, new TopicPartition(topic, 1));
    }

    /** It polls until it has all four partitions. */
    private static void whole(KafkaConsumer<String, String> only) {
        Cluster.await("all partitions", () -> {
            only.poll(Duration.ofMillis(100));
            return only.assignment().size() == 4;
        });
    }

    /** Both poll until each has two partitions. */
    private static void halves(KafkaConsumer<String, String> one, KafkaConsumer<String, String> other) {
        Cluster.await("two partitions each", () -> {
            one.poll(Duration.ofMillis(100));
            other.poll(Duration.ofMillis(100));
            return one.assignment().size() == 2 && other.assignment().size() == 2;
        });
    }

    /** What one does to a group without members, down to its end. */
    private static void administer(Cluster cluster, String group, TopicPartition partition) throws Exception {
        var seven = new OffsetAndMetadata(7, Optional.of(0), "by hand");
        cluster.admin.alterConsumerGroupOffsets(group, Map.of(partition, seven)).all().get();
        Cluster.same(seven, offsets(cluster, group).get(partition));
        cluster.admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
        Cluster.same(null, offsets(cluster, group).get(partition));
        Cluster.holds("the group is listed", isListed(cluster, group));
        cluster.admin.deleteConsumerGroups(List.of(group)).all().get();
        Cluster.holds("a deleted group is not listed", !isListed(cluster, group));
        Cluster.refused(GroupIdNotFoundException.class, () -> cluster.admin.deleteConsumerGroups(List.of(group)).all().get());
        Cluster.refused(GroupIdNotFoundException.class, () -> cluster.admin.describeConsumerGroups(List.of(group)).all().get());
    }

    static Map<TopicPartition, OffsetAndMetadata> offsets(Cluster cluster, String group) throws Exception {
        return cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    private static boolean isListed(Cluster cluster, String group) throws Exception {
        return cluster.admin.listGroups().all().get().stream().anyMatch(listed -> listed.groupId().equals(group));
    }

    /** Members of both protocols together, as in an upgrade of a group's clients one by one. */
    private static void moves(Cluster cluster) throws Exception {
        String topic = cluster.topic(4), group = "g-" + topic;
        Object[] old = {"group.id", group, "group.protocol", "classic"}, young = {"group.id", group, "group.protocol", "consumer"};
        try (var third = cluster.consumer(old)) {
            try (var second = cluster.consumer(young)) {
                try (var first = cluster.consumer(old)) {
                    first.subscribe(List.of(topic));
                    whole(first);
                    second.subscribe(List.of(topic));
                    halves(first, second);
                    Cluster.same(GroupType.CONSUMER, type(cluster, group));
                }
                third.subscribe(List.of(topic));
                halves(second, third);
            }
            whole(third);
            Cluster.same(GroupType.CLASSIC, type(cluster, group));
        }
    }

    private static GroupType type(Cluster cluster, String group) throws Exception {
        return cluster.admin.describeConsumerGroups(List.of(group)).all().get().get(group).type();
    }

    private static void staticMember(Cluster cluster) throws Exception {
        String topic = cluster.topic(4), group = "g-" + topic;
        Object[] membership = {"group.id", group, "group.instance.id", "one", "session.timeout.ms", 45_000,
            "partition.assignment.strategy", CooperativeStickyAssignor.class.getName()};
        Set<Integer> generations = new HashSet<>();
        for (int life = 0; life < 2; life++) {
            try (var consumer = cluster.consumer(membership)) {
                consumer.subscribe(List.of(topic));
                whole(consumer);
                generations.add(consumer.groupMetadata().generationId());
            }
            // It has not left: it is away.
            var members = cluster.admin.describeConsumerGroups(List.of(group)).all().get().get(group).members();
            Cluster.same(List.of(Optional.of("one")), members.stream().map(member -> member.groupInstanceId()).toList());
        }
        Cluster.same(1, generations.size());
        var removal = new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")));
        cluster.admin.removeMembersFromConsumerGroup(group, removal).all().get();
        Cluster.same(0, cluster.admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size());
    }

    private static void patterns(Cluster cluster) throws Exception {
        String topic = cluster.filled(2, 10);
        try (var consumer = cluster.consumer("group.id", "ours-" + topic, "group.protocol", "consumer")) {
            consumer.subscribe(new SubscriptionPattern(topic + ".*"));
            Cluster.same(10, Cluster.read(consumer, 10).size());
            cluster.fill(cluster.topic(topic + "-and-later", 1), 5);
            Cluster.same(5, Cluster.read(consumer, 5).size());
        }
        try (var consumer = cluster.consumer("group.id", "theirs-" + topic)) {
            consumer.subscribe(Pattern.compile(topic));
            Cluster.same(10, Cluster.read(consumer, 10).size());
        }
        try (var consumer = cluster.consumer("group.id", "none-" + topic, "group.protocol", "consumer")) {
            consumer.subscribe(new SubscriptionPattern("("));
            Cluster.refusedByPoll(InvalidRegularExpression.class, consumer);
        }
    }
}
