/// Deletes offsets that a group has committed (KIP-496).
///
/// Version 0, which is not flexible.
public struct OffsetDeleteRequest: Request {
    public typealias Response = OffsetDeleteResponse

    public static let key = ApiKey.offsetDelete
    public static let versions: ClosedRange<Int16> = 0...0

    public var groupID = ""
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.array(&topics)
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
        }
    }
}

/// The answer to `OffsetDeleteRequest`.
public struct OffsetDeleteResponse: Message {
    public static let key = ApiKey.offsetDelete

    public var errorCode = ErrorCode.none
    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.error(&errorCode)
        wire.int32(&throttleTimeMs)
        wire.array(&topics)
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&errorCode)
        }
    }
}
