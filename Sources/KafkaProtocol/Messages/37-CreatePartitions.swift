/// Adds partitions to topics (KIP-195).
///
/// Versions 0–3: 2 is flexible, 3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599).
public struct CreatePartitionsRequest: Request {
    public typealias Response = CreatePartitionsResponse

    public static let key = ApiKey.createPartitions
    public static let versions: ClosedRange<Int16> = 0...3

    public var topics: [Topic] = []
    public var timeoutMs: Int32 = 0
    public var validateOnly = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
        wire.int32(&timeoutMs)
        wire.bool(&validateOnly)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        /// The new number of partitions in all.
        public var count: Int32 = 0
        /// For the new partitions, in order; null to let the broker choose.
        public var assignments: [Assignment]? = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.int32(&count)
            wire.array(&assignments)
            wire.tags()
        }
    }

    public struct Assignment: Fields {
        public var brokerIDs: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.array(&brokerIDs)
            wire.tags()
        }
    }
}

/// The answer to `CreatePartitionsRequest`.
public struct CreatePartitionsResponse: Message {
    public static let key = ApiKey.createPartitions

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var results: [Result] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&results)
        wire.tags()
    }

    public struct Result: Fields {
        public var name = ""
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.tags()
        }
    }
}
