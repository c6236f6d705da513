public import KafkaProtocol

/// Which topics there are: what the server-side assignment of KIP-848 goes by.
public protocol TopicDirectory: Sendable {
    /// Changes whenever anything does.
    var version: UInt64 { get }
    func topic(named name: String) -> TopicFacts?
    func topic(id: Uuid) -> TopicFacts?
    func names() -> [String]
}

/// A topic as far as groups care.
public struct TopicFacts: Sendable, Equatable {
    public var name: String
    public var id: Uuid
    public var partitionCount: Int32

    public init(name: String, id: Uuid, partitionCount: Int32) {
        self.name = name
        self.id = id
        self.partitionCount = partitionCount
    }
}
