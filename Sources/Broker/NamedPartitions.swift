internal import KafkaProtocol

/// The partitions that a request has named so far. Named again, one is neither looked at nor answered again: a frame has room for a
/// million mentions, and what is done and said for each may be much.
struct NamedPartitions {
    private var indexes: [ExactString: Set<Int32>] = [:]

    /// Those of `mentioned` that are named for the first time, each once.
    mutating func new(_ mentioned: [Int32], of topic: String) -> [Int32] { split(mentioned, of: topic).new }

    /// Those of `mentioned` that were named before, here or earlier.
    mutating func again(_ mentioned: [Int32], of topic: String) -> [Int32] { split(mentioned, of: topic).again }

    private mutating func split(_ mentioned: [Int32], of topic: String) -> (new: [Int32], again: [Int32]) {
        // The name is looked up once, not once for each partition: it may be long, and they many.
        var known = indexes.removeValue(forKey: topic) ?? []
        defer { indexes[topic] = known }
        var (new, again): ([Int32], [Int32]) = ([], [])
        for index in mentioned { if known.insert(index).inserted { new.append(index) } else { again.append(index) } }
        return (new, again)
    }
}
