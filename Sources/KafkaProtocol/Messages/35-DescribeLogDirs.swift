/// How much space do partitions take? (KIP-113)
///
/// Versions 1–4: 2 is flexible, 3 adds an error code for the whole, 4 the directories' sizes (KIP-827).
public struct DescribeLogDirsRequest: Request {
    public typealias Response = DescribeLogDirsResponse

    public static let key = ApiKey.describeLogDirs
    public static let versions: ClosedRange<Int16> = 1...4

    /// Null for all.
    public var topics: [Topic]? = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
        wire.tags()
    }

    public struct Topic: Fields {
        public var topic = ""
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
            wire.tags()
        }
    }
}

/// The answer to `DescribeLogDirsRequest`.
public struct DescribeLogDirsResponse: Message {
    public static let key = ApiKey.describeLogDirs

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var results: [Result] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode, 3...)
        wire.array(&results)
        wire.tags()
    }

    public struct Result: Fields {
        public var errorCode = ErrorCode.none
        public var logDir = ""
        public var topics: [Topic] = []
        public var totalBytes: Int64 = -1
        public var usableBytes: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&logDir)
            wire.array(&topics)
            wire.int64(&totalBytes, 4...)
            wire.int64(&usableBytes, 4...)
            wire.tags()
        }
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
        /// In bytes.
        public var partitionSize: Int64 = 0
        public var offsetLag: Int64 = 0
        public var isFutureKey = false

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int64(&partitionSize)
            wire.int64(&offsetLag)
            wire.bool(&isFutureKey)
            wire.tags()
        }
    }
}
