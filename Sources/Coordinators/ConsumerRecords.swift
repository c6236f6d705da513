internal import KafkaProtocol

/// The records of a group of the new protocol:
///
/// | key | value |
/// |---|---|
/// | `K` `G` | the group: epochs, what its assignment was made from |
/// | `K` `M` member id | `ConsumerMember.Profile` |
/// | `K` `T` member id | target assignment |
/// | `K` `C` member id | `ConsumerMember.Holding` |
///
/// A value begins with its format, one byte, and goes on in the flexible encoding of Kafka's protocol.
enum ConsumerRecord {
    static let format: Int8 = 1

    enum Kind: UInt8 {
        case group = 0x47
        case profile = 0x4d
        case target = 0x54
        case holding = 0x43
    }

    /// 'K'
    static let protocolByte: UInt8 = 0x4b

    static func key(_ kind: Kind, _ memberID: String = "") -> [UInt8] { [protocolByte, kind.rawValue] + Array(memberID.utf8) }

    static func kind(of key: [UInt8]) -> (kind: Kind, memberID: String)? {
        guard key.count >= 2, key[0] == protocolByte, let kind = Kind(rawValue: key[1]) else { return nil }
        return (kind, String(decoding: key[2...], as: UTF8.self))
    }

    static func encode(_ row: some Fields) -> [UInt8] {
        var writer = Writer(version: 0, flexible: true)
        var format = format
        writer.int8(&format)
        var row = row
        row.fields(&writer)
        return writer.finish().bytes
    }

    static func decode<Row: Fields>(_: Row.Type, _ record: StateRecord) throws(GroupStateError) -> Row {
        guard let value = record.value, value.first == UInt8(format) else { throw .unreadable(key: record.key) }
        var row = Row()
        do {
            // The reader stays within the span.
            var reader = unsafe Reader(value.span.bytes, at: 1, version: 0, flexible: true)
            row.fields(&reader)
            try reader.finish()
        } catch {
            throw .unreadable(key: record.key)
        }
        return row
    }

    struct Group: Fields, Equatable {
        var epoch: Int32 = 0
        var assignmentEpoch: Int32 = 0
        /// Of what the target assignment was made from: topics, their ids and partition counts.
        var metadataHash: Int64 = 0
        /// Wall clock milliseconds, −1 while there are members.
        var emptySinceMs: Int64 = -1

        mutating func fields(_ wire: inout some Wire) {
            wire.int32(&epoch)
            wire.int32(&assignmentEpoch)
            wire.int64(&metadataHash)
            wire.int64(&emptySinceMs)
            wire.tags()
        }
    }

    struct Profile: Fields {
        var instanceID: String?
        var rackID: String?
        var clientID = ""
        var clientHost = ""
        var rebalanceTimeoutMs: Int32 = 0
        var topicNames: [String] = []
        var topicPattern: String?
        var assignor: String?
        var classic: Classic?

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&instanceID)
            wire.string(&rackID)
            wire.string(&clientID)
            wire.string(&clientHost)
            wire.int32(&rebalanceTimeoutMs)
            wire.array(&topicNames)
            wire.string(&topicPattern)
            wire.string(&assignor)
            wire.optional(&classic)
            wire.tags()
        }
    }

    struct Classic: Fields {
        var sessionTimeoutMs: Int32 = 0
        var protocols: [JoinGroupRequest.GroupProtocol] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.int32(&sessionTimeoutMs)
            wire.array(&protocols)
            wire.tags()
        }
    }

    struct Target: Fields {
        var partitions: [TopicPartitions] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.array(&partitions)
            wire.tags()
        }
    }

    struct Holding: Fields {
        var epoch: Int32 = 0
        var previousEpoch: Int32 = 0
        var state: Int8 = 0
        var assigned: [TopicPartitions] = []
        var pendingRevocation: [TopicPartitions] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.int32(&epoch)
            wire.int32(&previousEpoch)
            wire.int8(&state)
            wire.array(&assigned)
            wire.array(&pendingRevocation)
            wire.tags()
        }
    }

    typealias TopicPartitions = ConsumerGroupHeartbeatResponse.TopicPartitions
}

extension PartitionSet {
    init(_ partitions: [ConsumerRecord.TopicPartitions]) { self.init(partitions.map { (topicID: $0.topicID, indexes: Set($0.partitions)) }) }

    /// What a member says that it has.
    init(_ partitions: [ConsumerGroupHeartbeatRequest.TopicPartitions]) {
        self.init(partitions.map { (topicID: $0.topicID, indexes: Set($0.partitions)) })
    }

    var fields: [ConsumerRecord.TopicPartitions] {
        sorted.map { topicID, indexes in
            ConsumerRecord.TopicPartitions {
                $0.topicID = topicID
                $0.partitions = indexes
            }
        }
    }
}

extension ConsumerMember.Profile {
    init(_ row: ConsumerRecord.Profile) {
        instanceID = row.instanceID
        rackID = row.rackID
        clientID = row.clientID
        clientHost = row.clientHost
        rebalanceTimeoutMs = row.rebalanceTimeoutMs
        topicNames = row.topicNames
        topicPattern = row.topicPattern
        assignor = row.assignor
        classic = row.classic.map { face in
            ConsumerMember.ClassicFace(
                sessionTimeoutMs: face.sessionTimeoutMs, protocols: face.protocols.map { .init(name: $0.name, metadata: $0.metadata) })
        }
    }

    var row: ConsumerRecord.Profile {
        ConsumerRecord.Profile {
            $0.instanceID = instanceID
            $0.rackID = rackID
            $0.clientID = clientID
            $0.clientHost = clientHost
            $0.rebalanceTimeoutMs = rebalanceTimeoutMs
            $0.topicNames = topicNames
            $0.topicPattern = topicPattern
            $0.assignor = assignor
            $0.classic = classic.map { face in
                ConsumerRecord.Classic {
                    $0.sessionTimeoutMs = face.sessionTimeoutMs
                    $0.protocols = face.protocols.map { kind in
                        JoinGroupRequest.GroupProtocol {
                            $0.name = kind.name
                            $0.metadata = kind.metadata
                        }
                    }
                }
            }
        }
    }
}

extension ConsumerMember.Holding {
    /// Nil if the row is in a state that this code does not know.
    init?(_ row: ConsumerRecord.Holding) {
        guard let state = ConsumerMember.State(rawValue: row.state) else { return nil }
        self.init(
            epoch: row.epoch, previousEpoch: row.previousEpoch, state: state, assigned: PartitionSet(row.assigned),
            pendingRevocation: PartitionSet(row.pendingRevocation))
    }

    var row: ConsumerRecord.Holding {
        ConsumerRecord.Holding {
            $0.epoch = epoch
            $0.previousEpoch = previousEpoch
            $0.state = state.rawValue
            $0.assigned = assigned.fields
            $0.pendingRevocation = pendingRevocation.fields
        }
    }
}
