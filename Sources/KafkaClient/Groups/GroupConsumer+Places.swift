import KafkaProtocol
import Synchronization

// Moving about in what the group has given. Called between two calls of `next`, by the task that makes them: partitions
// change hands only inside of those.
extension GroupConsumer {
    /// Goes on reading a partition from somewhere else, which is where the group stands from now on: it is committed like what
    /// has been read. One that is paused stays so.
    /// - Returns: the offset that the place turned out to be.
    /// - Throws: `invalid` where the partition is not this member's.
    @discardableResult
    public func seek(_ partition: TopicPartition, to place: PartitionPlace) async throws(ClientError) -> Int64 {
        try checkAssigned([partition])
        let offset = try await reader.seek(partition, to: place)
        state.withLock { state in
            if state.inHand?.partition == partition { state.inHand = nil }
            state.positions[partition] = offset
            state.done[partition] = OffsetPosition(offset: offset)
        }
        return offset
    }

    /// Reads these no more until they are resumed; the member keeps them, and others go on. One that is given up meanwhile and
    /// comes back is read.
    /// - Throws: `invalid` where one is not this member's.
    public func pause(_ partitions: Set<TopicPartition>) async throws(ClientError) {
        try checkAssigned(partitions)
        try await reader.pause(partitions)
        // What waits for a rewind to be done again is not read now.
        state.withLock { $0.resting.formUnion(partitions.subtracting(reader.paused)) }
    }

    /// Goes on where `pause` has stopped.
    /// - Throws: `invalid` where one is not this member's.
    public func resume(_ partitions: Set<TopicPartition>) async throws(ClientError) {
        try checkAssigned(partitions)
        state.withLock { $0.resting.subtract(partitions) }
        try await reader.resume(partitions)
    }

    /// Partitions of this member that are not read for now.
    public var paused: Set<TopicPartition> { state.withLock { $0.resting }.union(reader.paused) }

    private func checkAssigned(_ partitions: Set<TopicPartition>) throws(ClientError) {
        guard let first = Self.ordered(partitions.subtracting(assignment)).first else { return }
        throw .invalid("\(first) is not assigned to this member of the group \(group) now")
    }
}
