internal import Glibc
internal import KafkaProtocol
internal import Store

/// DescribeLogDirs 1–4 (KIP-113, KIP-827). The one directory is the store's; sizes of partitions are their record batches'.
struct DescribeLogDirsHandler: Handler {
    func handle(_ request: DescribeLogDirsRequest, _ call: Call, _ reply: Reply) {
        call.offLoop(reply) {
            var result = DescribeLogDirsResponse.Result()
            result.logDir = Self.absolute(call.broker.configuration.current.dataDirectory)
            if let space = Self.space(of: result.logDir) { (result.totalBytes, result.usableBytes) = space }
            result.topics = Self.topics(request.topics, call.broker.store)
            var response = DescribeLogDirsResponse()
            response.results = [result]
            reply.send(response)
        }
    }

    private static func topics(_ asked: [DescribeLogDirsRequest.Topic]?, _ store: Store) -> [DescribeLogDirsResponse.Topic] {
        guard let asked else { return store.topics().map { described($0, $0.partitions) } }
        var named = NamedPartitions()
        // What does not exist is left out, as in Kafka.
        return asked.compactMap { lookup in
            guard let topic = store.topic(named: lookup.topic) else { return nil }
            let indexes = named.new(lookup.partitions, of: lookup.topic)
            return described(topic, indexes.compactMap { topic.partitions.indices.contains(Int($0)) ? topic.partitions[Int($0)] : nil })
        }
    }

    private static func described(_ topic: Topic, _ partitions: [Partition]) -> DescribeLogDirsResponse.Topic {
        var described = DescribeLogDirsResponse.Topic()
        described.name = topic.name
        described.partitions = partitions.map { partition in
            var one = DescribeLogDirsResponse.Partition()
            one.partitionIndex = partition.index
            one.partitionSize = Int64(partition.byteCount)
            return one
        }
        return described
    }

    private static func absolute(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// The file system's bytes, in all and free for this process.
    private static func space(of path: String) -> (Int64, Int64)? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return (bytes(UInt64(status.f_blocks), of: status), bytes(UInt64(status.f_bavail), of: status))
    }

    /// As many as a number holds, where the file system states more.
    private static func bytes(_ blockCount: UInt64, of status: statvfs) -> Int64 {
        let (byteCount, isMore) = blockCount.multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return isMore ? .max : Int64(clamping: byteCount)
    }
}
