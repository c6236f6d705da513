internal import KafkaProtocol

/// The partitions that a request has named so far. Named again, one is neither looked at nor answered again: a frame has room for a
/// million mentions, and what is done and said for each may be much.
struct NamedPartitions {
    private var indexes: [ExactString: Set<Int32>] = [:]

    /// Those of `mentioned` that are named for the first time, each once.
    mutating func new(_ mentioned: [Int32], of topic: String) -> [Int32] {
        mentioned.filter { indexes[topic, default: []].insert($0).inserted }
    }
}
