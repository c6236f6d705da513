/// Deletes topics.
///
/// Versions 1–6: 4 is flexible, 5 adds error messages (KIP-599), 6 deletes by name or topic id (KIP-516).
public struct DeleteTopicsRequest: Request {
    public typealias Response = DeleteTopicsResponse

    public static let key = ApiKey.deleteTopics
    public static let versions: ClosedRange<Int16> = 1...6

    /// From version 6 on: by name, or by id where the name is null.
    public var topics: [Topic] = []
    /// In versions to 5.
    public var topicNames: [String] = []
    public var timeoutMs: Int32 = 0

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics, 6...)
        wire.array(&topicNames, ...5)
        wire.int32(&timeoutMs)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name: String?
        public var topicID = Uuid()

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.uuid(&topicID)
            wire.tags()
        }
    }
}

/// The answer to `DeleteTopicsRequest`.
public struct DeleteTopicsResponse: Message {
    public static let key = ApiKey.deleteTopics

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var responses: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&responses)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name: String?
        public var topicID = Uuid()
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name, nullable: 6...)
            wire.uuid(&topicID, 6...)
            wire.error(&errorCode)
            wire.string(&errorMessage, 5...)
            wire.tags()
        }
    }
}
