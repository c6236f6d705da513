internal import KafkaProtocol

/// What members say in opaque bytes, as groups of the other protocol have it: topics by their ids.
extension ConsumerProtocol {
    /// Topics that are not there, and partitions that no topic has, are left out.
    static func partitions(_ named: [TopicPartitions], _ topics: any TopicDirectory) -> PartitionSet {
        PartitionSet(
            named.compactMap { entry in
                topics.topic(named: entry.topic).map { topic in
                    (topicID: topic.id, indexes: Set(entry.partitions.filter { $0 >= 0 && $0 < topic.partitionCount }))
                }
            })
    }

    static func named(_ partitions: PartitionSet, _ topics: any TopicDirectory) -> [TopicPartitions] {
        partitions.sorted.compactMap { topicID, indexes in
            topics.topic(id: topicID).map { topic in
                TopicPartitions {
                    $0.topic = topic.name
                    $0.partitions = indexes
                }
            }
        }
    }
}
