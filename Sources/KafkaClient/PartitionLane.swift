import NIOCore

/// One partition as a producer's event loop sees it: its queue, and where and when to send from it.
final class PartitionLane: @unchecked Sendable {
    // Unchecked: the constants are read anywhere, everything else on the producer's event loop only.
    let partition: TopicPartition
    var queue: PartitionQueue<ProducerBatch>
    /// The broker that leads the partition, as far as is known.
    var leader: Int32?
    /// True once the sender knows the lane.
    var isEntered = false
    /// True while the lane stands in its leader's line.
    var isInLine = false
    /// Failures since the last success, and when to go on after them.
    var failures = 0
    var notBefore: NIODeadline?

    init(_ partition: TopicPartition, options: ProducerOptions) {
        self.partition = partition
        queue = PartitionQueue(isIdempotent: options.isIdempotent, inFlightMax: options.requestsPerPartitionMax)
    }
}

/// One broker as a producer's event loop sees it: the connection for its produce requests, and the line of
/// partitions that have something to send.
final class BrokerLane: @unchecked Sendable {
    // Unchecked: touched on the producer's event loop only.
    let id: Int32
    var connection: Connection?
    var isConnecting = false
    var failures = 0
    var notBefore: NIODeadline?
    var requestsInFlight = 0
    var line = CircularBuffer<PartitionLane>()

    init(_ id: Int32) { self.id = id }
}
