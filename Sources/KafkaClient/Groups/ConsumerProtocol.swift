import KafkaProtocol

// What members of a classic consumer group tell each other through the coordinator (`KafkaProtocol.ConsumerProtocol`), partition
// by partition; and what assignors put into its user data.

/// What one member wants, told to the leader in JoinGroup.
struct MemberSubscription: Sendable, Equatable {
    var topics: [String] = []
    /// The assignor's own, nil for none.
    var userData: [UInt8]?
    /// What the member holds while it joins (KIP-429).
    var owned: [TopicPartition] = []
    /// The generation that `owned` is of (KIP-792), −1 when unknown.
    var generation: Int32 = -1

    /// In version 3.
    var bytes: [UInt8] {
        let subscription = ConsumerProtocol.Subscription {
            ($0.topics, $0.userData, $0.generationID) = (topics, userData, generation)
            $0.ownedPartitions = .grouping(owned)
        }
        return ConsumerProtocol.encode(subscription, version: 3)
    }

    init(topics: [String] = [], userData: [UInt8]? = nil, owned: [TopicPartition] = [], generation: Int32 = -1) {
        (self.topics, self.userData, self.owned, self.generation) = (topics, userData, owned, generation)
    }

    /// Throws where the bytes are no subscription.
    init(_ bytes: [UInt8]) throws(WireError) {
        guard let body = ConsumerProtocol.decode(ConsumerProtocol.Subscription.self, bytes) else { throw .truncated }
        self.init(topics: body.topics, userData: body.userData, owned: body.ownedPartitions.each, generation: body.generationID)
    }
}

/// What one member is given, told by the leader in SyncGroup.
struct MemberAssignment: Sendable, Equatable {
    var partitions: [TopicPartition] = []
    var userData: [UInt8]?

    init(_ partitions: [TopicPartition], userData: [UInt8]? = nil) { (self.partitions, self.userData) = (partitions, userData) }

    /// No bytes at all are an empty assignment: a leader need not name everyone. Throws where the bytes are no assignment.
    init(_ bytes: [UInt8]) throws(WireError) {
        if bytes.isEmpty {
            self.init([TopicPartition]())
            return
        }
        guard let body = ConsumerProtocol.decode(ConsumerProtocol.Assignment.self, bytes) else { throw .truncated }
        self.init(body.assignedPartitions.each, userData: body.userData)
    }

    /// In version 0, from which the later ones do not differ.
    var bytes: [UInt8] {
        let assignment = ConsumerProtocol.Assignment {
            $0.assignedPartitions = .grouping(partitions)
            $0.userData = userData
        }
        return ConsumerProtocol.encode(assignment, version: 0)
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
        body.owned = .grouping(owned)
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
                owned = body.owned.each
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
        var owned: [ConsumerProtocol.TopicPartitions] = []
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

extension [ConsumerProtocol.TopicPartitions] {
    var each: [TopicPartition] { flatMap { entry in entry.partitions.map { TopicPartition(entry.topic, $0) } } }

    static func grouping(_ partitions: some Sequence<TopicPartition>) -> Self {
        Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }.map { topic, partitions in
            ConsumerProtocol.TopicPartitions {
                $0.topic = topic
                $0.partitions = partitions.map(\.partition).sorted()
            }
        }
    }
}
