/// Asks which partitions are on their way to other brokers (KIP-455).
///
/// Version 0, flexible.
public struct ListPartitionReassignmentsRequest: Request {
    public typealias Response = ListPartitionReassignmentsResponse

    public static let key = ApiKey.listPartitionReassignments
    public static let versions: ClosedRange<Int16> = 0...0

    public var timeoutMs: Int32 = 60_000
    /// Null for all.
    public var topics: [Topic]?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&timeoutMs)
        wire.array(&topics)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitionIndexes: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitionIndexes)
            wire.tags()
        }
    }
}

/// The answer to `ListPartitionReassignmentsRequest`.
public struct ListPartitionReassignmentsResponse: Message {
    public static let key = ApiKey.listPartitionReassignments

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.string(&errorMessage)
        wire.array(&topics)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0
        public var replicas: [Int32] = []
        public var addingReplicas: [Int32] = []
        public var removingReplicas: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.array(&replicas)
            wire.array(&addingReplicas)
            wire.array(&removingReplicas)
            wire.tags()
        }
    }
}
