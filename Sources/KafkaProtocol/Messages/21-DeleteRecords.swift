/// Moves partitions' log start offsets forward (KIP-107).
///
/// Versions 0–2: 2 is flexible.
public struct DeleteRecordsRequest: Request {
    public typealias Response = DeleteRecordsResponse

    public static let key = ApiKey.deleteRecords
    public static let versions: ClosedRange<Int16> = 0...2

    public var topics: [Topic] = []
    public var timeoutMs: Int32 = 0

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
        wire.int32(&timeoutMs)
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
        /// The new log start offset, −1 for the high watermark.
        public var offset: Int64 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int64(&offset)
            wire.tags()
        }
    }
}

/// The answer to `DeleteRecordsRequest`.
public struct DeleteRecordsResponse: Message {
    public static let key = ApiKey.deleteRecords

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
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
        public var lowWatermark: Int64 = 0
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int64(&lowWatermark)
            wire.error(&errorCode)
            wire.tags()
        }
    }
}
