internal import KafkaProtocol

/// The records of a group of the new protocol:
///
/// | key | value |
/// |---|---|
/// | `K` `G` | the group: epochs, what its assignment was made from |
/// | `K` `M` member id | `ConsumerMember.Profile` |
/// | `K` `T` member id | target assignment |
/// | `K` `C` member id | `ConsumerMember.Holding` |
enum ConsumerRecord {
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
