/// Places partitions on other brokers, or gives that up (KIP-455).
///
/// Version 0, flexible.
public struct AlterPartitionReassignmentsRequest: Request {
    public typealias Response = AlterPartitionReassignmentsResponse

    public static let key = ApiKey.alterPartitionReassignments
    public static let versions: ClosedRange<Int16> = 0...0

    public var timeoutMs: Int32 = 60_000
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&timeoutMs)
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
        /// The brokers to be on; null to give up a reassignment that is under way.
        public var replicas: [Int32]?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.array(&replicas)
            wire.tags()
        }
    }
}

/// The answer to `AlterPartitionReassignmentsRequest`.
public struct AlterPartitionReassignmentsResponse: Message {
    public static let key = ApiKey.alterPartitionReassignments

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var responses: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.string(&errorMessage)
        wire.array(&responses)
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
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.tags()
        }
    }
}
