public import KafkaProtocol

/// What a broker says about one of the directories that it keeps records in.
public struct LogDirectory: Sendable, Equatable {
    public var path: String
    /// Why there is no more to say about it.
    public var error: ErrorCode
    /// Bytes of record batches, by partition.
    public var byteCounts: [TopicPartition: Int64]
    /// Of the file system; nil where the broker does not tell (before KIP-827).
    public var totalByteCount: Int64?
    public var usableByteCount: Int64?

    /// Bytes of record batches, of all partitions.
    public var byteCount: Int64 {
        byteCounts.values.reduce(0) { sum, count in
            let (total, isTooMuch) = sum.addingReportingOverflow(max(count, 0))
            return isTooMuch ? .max : total
        }
    }
}

extension Admin {
    /// Where a broker keeps its records, and how much there is of them.
    public func logDirectories(of broker: Int32) async throws(ClientError) -> [LogDirectory] {
        let request = DescribeLogDirsRequest { $0.topics = nil }
        return try await atBroker(broker) { (connection) async throws(ClientError) in
            let response = try await connection.call(request)
            try check(response.errorCode, nil, "broker \(broker) does not describe its directories")
            return response.results.map { LogDirectory($0) }
        }
    }
}

extension LogDirectory {
    init(_ result: DescribeLogDirsResponse.Result) {
        var byteCounts: [TopicPartition: Int64] = [:]
        for topic in result.topics {
            for partition in topic.partitions { byteCounts[TopicPartition(topic.name, partition.partitionIndex)] = partition.partitionSize }
        }
        self.init(
            path: result.logDir, error: result.errorCode, byteCounts: byteCounts, totalByteCount: result.totalBytes >= 0 ? result.totalBytes : nil,
            usableByteCount: result.usableBytes >= 0 ? result.usableBytes : nil)
    }
}
