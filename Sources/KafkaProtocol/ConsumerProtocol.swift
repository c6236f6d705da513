/// What Kafka's consumers put into the opaque bytes of JoinGroup and SyncGroup: a version, two bytes, and a message in the
/// inflexible encoding. One that is newer than known is read as the newest known, since versions only add at the end.
public enum ConsumerProtocol {
    /// The protocol type of groups of consumers.
    public static let type = "consumer"
    private static let versionMax: Int16 = 3

    /// What a member wants, told in JoinGroup.
    ///
    /// Versions 0–3: 1 adds what the member owns (KIP-429), 2 since which generation (KIP-792), 3 its rack (KIP-881).
    public struct Subscription: Fields {
        public var topics: [String] = []
        /// The assignor's own, null for none.
        public var userData: [UInt8]?
        public var ownedPartitions: [TopicPartitions] = []
        /// The generation that the partitions are of, −1 where that is not known.
        public var generationID: Int32 = -1
        public var rackID: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.array(&topics)
            wire.bytes(&userData)
            wire.array(&ownedPartitions, 1...)
            wire.int32(&generationID, 2...)
            wire.string(&rackID, 3...)
        }
    }

    /// What a member is given, told in SyncGroup. The same in versions 0–3.
    public struct Assignment: Fields {
        public var assignedPartitions: [TopicPartitions] = []
        public var userData: [UInt8]?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.array(&assignedPartitions)
            wire.bytes(&userData)
        }
    }

    public struct TopicPartitions: Fields {
        public var topic = ""
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
        }
    }

    /// The version that `bytes` are read as; nil where they are too few for one, and for a negative one.
    public static func version(of bytes: [UInt8]) -> Int16? {
        guard bytes.count >= 2 else { return nil }
        let version = Int16(bitPattern: UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
        return version < 0 ? nil : min(version, versionMax)
    }

    /// Whether an assignment holds partitions and nothing else, or nothing at all.
    public static func isPlainAssignment(_ bytes: [UInt8]) -> Bool {
        bytes.isEmpty || decode(Assignment.self, bytes).map { ($0.userData ?? []).isEmpty } ?? false
    }

    /// Nil for bytes that are no such message.
    public static func decode<Body: Fields>(_: Body.Type, _ bytes: [UInt8]) -> Body? {
        guard let version = version(of: bytes) else { return nil }
        var body = Body()
        do {
            // The reader stays within the span.
            var reader = unsafe Reader(
                bytes.span.bytes, at: 2, version: version, flexible: false, stringBytesMax: Reader.requestStringBytesMax)
            body.fields(&reader)
            try reader.finish()
        } catch {
            return nil
        }
        return body
    }

    public static func encode(_ body: some Fields, version: Int16) -> [UInt8] {
        var (version, body) = (version, body)
        var writer = Writer(version: version, flexible: false)
        writer.int16(&version)
        body.fields(&writer)
        return writer.finish().bytes
    }
}
