internal import KafkaProtocol

/// What Kafka's consumers put into the opaque bytes of JoinGroup and SyncGroup: a version, two bytes, and a message in
/// the inflexible encoding. A version that is newer than known is read as the newest that is.
enum ConsumerProtocol {
    /// The protocol type of groups of consumers.
    static let type = "consumer"
    private static let versionMax: Int16 = 3

    /// Versions 0–3: 1 adds what the member owns, 2 since which generation, 3 its rack.
    struct Subscription: Fields {
        var topics: [String] = []
        var userData: [UInt8]?
        var ownedPartitions: [TopicPartitions] = []
        var generationID: Int32 = -1
        var rackID: String?

        mutating func fields(_ wire: inout some Wire) {
            wire.array(&topics)
            wire.bytes(&userData)
            wire.array(&ownedPartitions, 1...)
            wire.int32(&generationID, 2...)
            wire.string(&rackID, 3...)
        }
    }

    struct Assignment: Fields {
        var assignedPartitions: [TopicPartitions] = []
        var userData: [UInt8]?

        mutating func fields(_ wire: inout some Wire) {
            wire.array(&assignedPartitions)
            wire.bytes(&userData)
        }
    }

    struct TopicPartitions: Fields {
        var topic = ""
        var partitions: [Int32] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
        }
    }

    static func version(of bytes: [UInt8]) -> Int16? {
        guard bytes.count >= 2 else { return nil }
        let version = Int16(bitPattern: UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
        return version < 0 ? nil : min(version, versionMax)
    }

    /// Nil for bytes that are no such message.
    static func decode<Body: Fields>(_: Body.Type, _ bytes: [UInt8]) -> Body? {
        guard let version = version(of: bytes) else { return nil }
        var body = Body()
        do {
            // The reader stays within the span.
            var reader = unsafe Reader(bytes.span.bytes, at: 2, version: version, flexible: false)
            body.fields(&reader)
            try reader.finish()
        } catch {
            return nil
        }
        return body
    }

    static func encode(_ body: some Fields, version: Int16) -> [UInt8] {
        var writer = Writer(version: version, flexible: false)
        var version = version
        writer.int16(&version)
        var body = body
        body.fields(&writer)
        return writer.finish().bytes
    }

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
