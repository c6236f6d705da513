import KafkaProtocol

// What members of a classic consumer group tell each other through the coordinator, which does not look inside:
// Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment. Each begins with its version; a newer one than is
// known is read as the newest known, since versions only add at the end.

/// What one member wants, told to the leader in JoinGroup.
struct MemberSubscription: Sendable, Equatable {
    /// The newest version there is (KIP-881).
    static let version: Int16 = 3

    var topics: [String] = []
    /// The assignor's own, nil for none.
    var userData: [UInt8]?
    /// What the member holds while it joins (KIP-429), from version 1 on.
    var owned: [TopicPartition] = []
    /// The generation that `owned` is of (KIP-792), −1 before version 2 or when unknown.
    var generation: Int32 = -1

    var bytes: [UInt8] {
        var version = Self.version
        var fields = Body(self)
        var writer = Writer(version: version, flexible: false)
        writer.int16(&version)
        fields.fields(&writer)
        return writer.finish().bytes
    }

    init(topics: [String] = [], userData: [UInt8]? = nil, owned: [TopicPartition] = [], generation: Int32 = -1) {
        (self.topics, self.userData, self.owned, self.generation) = (topics, userData, owned, generation)
    }

    /// Throws when the bytes are too few for what they promise.
    init(_ bytes: [UInt8]) throws(WireError) {
        let body = try decode(bytes, newest: Self.version) as Body
        topics = body.topics
        userData = body.userData
        owned = body.owned.flatMap(\.partitionsOfTopic)
        generation = body.generation
    }

    private struct Body: Fields {
        var topics: [String] = []
        var userData: [UInt8]?
        var owned: [PartitionsOfTopic] = []
        var generation: Int32 = -1
        var rackID: String?

        init() {}

        init(_ subscription: MemberSubscription) {
            topics = subscription.topics
            userData = subscription.userData
            owned = PartitionsOfTopic.grouping(subscription.owned)
            generation = subscription.generation
        }

        mutating func fields(_ wire: inout some Wire) {
            wire.array(&topics)
            wire.bytes(&userData)
            wire.array(&owned, 1...)
            wire.int32(&generation, 2...)
            wire.string(&rackID, 3...)
        }
    }
}

/// What one member is given, told by the leader in SyncGroup.
struct MemberAssignment: Sendable, Equatable {
    static let version: Int16 = 0

    var partitions: [TopicPartition] = []
    var userData: [UInt8]?

    init(_ partitions: [TopicPartition], userData: [UInt8]? = nil) { (self.partitions, self.userData) = (partitions, userData) }

    /// No bytes at all are an empty assignment: a leader need not name everyone.
    init(_ bytes: [UInt8]) throws(WireError) {
        if bytes.isEmpty { return }
        let body = try decode(bytes, newest: Self.version) as Body
        partitions = body.assigned.flatMap(\.partitionsOfTopic)
        userData = body.userData
    }

    var bytes: [UInt8] {
        var version = Self.version
        var body = Body()
        body.assigned = PartitionsOfTopic.grouping(partitions)
        body.userData = userData
        var writer = Writer(version: version, flexible: false)
        writer.int16(&version)
        body.fields(&writer)
        return writer.finish().bytes
    }

    private struct Body: Fields {
        var assigned: [PartitionsOfTopic] = []
        var userData: [UInt8]?

        mutating func fields(_ wire: inout some Wire) {
            wire.array(&assigned)
            wire.bytes(&userData)
        }
    }
}

/// The user data of the two sticky assignors.
///
/// `sticky` writes what the member was given last and in which generation (the generation is missing from the oldest
/// clients); `cooperative-sticky` the generation alone, since what is owned stands in the subscription.
struct StickyUserData: Sendable, Equatable {
    var owned: [TopicPartition] = []
    var generation: Int32 = -1

    static func sticky(_ owned: [TopicPartition], generation: Int32) -> [UInt8] {
        var body = Body()
        body.owned = PartitionsOfTopic.grouping(owned)
        body.generation = generation
        var writer = Writer(version: 1, flexible: false)
        body.fields(&writer)
        return writer.finish().bytes
    }

    static func cooperativeSticky(generation: Int32) -> [UInt8] {
        var generation = generation
        var writer = Writer(version: 1, flexible: false)
        writer.int32(&generation)
        return writer.finish().bytes
    }

    /// Nil for what is neither form with nor without the generation.
    init?(sticky bytes: [UInt8]) {
        for version: Int16 in [1, 0] {
            if let body = try? Self.body(bytes, version) {
                owned = body.owned.flatMap(\.partitionsOfTopic)
                generation = body.generation
                return
            }
        }
        return nil
    }

    /// The generation in the user data of `cooperative-sticky`; −1 when there is none.
    static func generation(cooperativeSticky bytes: [UInt8]) -> Int32 {
        guard bytes.count >= 4 else { return -1 }
        return bytes[..<4].reduce(Int32(0)) { $0 << 8 | Int32($1) }
    }

    private static func body(_ bytes: [UInt8], _ version: Int16) throws(WireError) -> Body {
        var reader = Reader(bytes.span.bytes, version: version, flexible: false)
        var body = Body()
        body.fields(&reader)
        try reader.finish()
        return body
    }

    private struct Body: Fields {
        var owned: [PartitionsOfTopic] = []
        var generation: Int32 = -1

        mutating func fields(_ wire: inout some Wire) {
            wire.array(&owned)
            wire.int32(&generation, 1...)
        }
    }
}

/// How many partitions topics had when the leader divided them. A leader of this library leaves that in the user data of its
/// own assignment: when it comes back after a restart as a static member, it is given its old assignment, and must know
/// whether topics have grown meanwhile. No assignor of Kafka's puts anything there.
enum DividedCounts {
    static func bytes(_ counts: [String: Int32]) -> [UInt8] {
        var body = Body()
        body.counts = counts.sorted { $0.key < $1.key }.map { count in Count { ($0.topic, $0.partitionCount) = (count.key, count.value) } }
        var writer = Writer(version: 0, flexible: false)
        body.fields(&writer)
        return writer.finish().bytes
    }

    /// Nil for what someone else has put there.
    static func read(_ bytes: [UInt8]) -> [String: Int32]? {
        var reader = Reader(bytes.span.bytes, version: 0, flexible: false)
        var body = Body()
        body.fields(&reader)
        guard (try? reader.finish()) != nil, body.mark == Body().mark else { return nil }
        return Dictionary(body.counts.map { ($0.topic, $0.partitionCount) }) { first, _ in first }
    }

    private struct Body: Fields {
        var mark = "lmbroker 1"
        var counts: [Count] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&mark)
            wire.array(&counts)
        }
    }

    private struct Count: Fields {
        var topic = ""
        var partitionCount: Int32 = 0

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.int32(&partitionCount)
        }
    }
}

/// A topic and some of its partitions, as these messages list them.
struct PartitionsOfTopic: Fields {
    var topic = ""
    var partitions: [Int32] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.string(&topic)
        wire.array(&partitions)
    }

    var partitionsOfTopic: [TopicPartition] { partitions.map { TopicPartition(topic, $0) } }

    static func grouping(_ partitions: some Sequence<TopicPartition>) -> [PartitionsOfTopic] {
        Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }.map { topic, partitions in
            PartitionsOfTopic {
                $0.topic = topic
                $0.partitions = partitions.map(\.partition).sorted()
            }
        }
    }
}

/// Reads a version and, in it, the rest.
private func decode<Body: Fields>(_ bytes: [UInt8], newest: Int16) throws(WireError) -> Body {
    var head = Reader(bytes.span.bytes, version: 0, flexible: false)
    var version: Int16 = 0
    head.int16(&version)
    try head.finish()
    if version < 0 { throw .unsupportedVersion }
    var reader = Reader(bytes.span.bytes, at: 2, version: min(version, newest), flexible: false)
    var body = Body()
    body.fields(&reader)
    try reader.finish()
    return body
}
