internal import KafkaProtocol

/// A transaction that has written to a partition and has not ended there.
struct OpenTransaction: Equatable, Sendable {
    var producerID: Int64
    var firstOffset: Int64
}

extension PartitionState {
    /// Below it every transaction has ended: where the oldest open one began, else the end. Records that were deleted are nobody's
    /// concern any more, whatever transaction they were of.
    var lastStableOffset: Int64 { openTransactions.first.map { max($0.firstOffset, logStartOffset) } ?? nextOffset }

    /// A transactional batch was taken in: if it is the first one of its producer's transaction, that is open from here on.
    mutating func begin(_ batch: AppendedBatch) {
        guard let producer = producers[batch.producerID], producer.transactionStart < 0 else { return }
        producers[batch.producerID]?.transactionStart = batch.baseOffset
        openTransactions.append(OpenTransaction(producerID: batch.producerID, firstOffset: batch.baseOffset))
    }

    /// A marker was taken in: the end of the producer's transaction, if one was open here.
    mutating func end(_ marker: AppendedBatch, at timeMs: Int64) {
        if producers[marker.producerID]?.transactionStart ?? -1 >= 0 {
            openTransactions.removeAll { $0.producerID == marker.producerID }
        }
        producers[marker.producerID, default: ProducerState(epoch: marker.producerEpoch)]
            .end(epoch: marker.producerEpoch, coordinatorEpoch: marker.baseSequence, at: timeMs)
        staleProducers.insert(marker.producerID)
    }
}

extension RecordBatchHeader {
    /// The greatest time that a search for records finds in the batch. Markers have none, since they hold no record of anyone, and
    /// neither have batches that compaction has emptied.
    var searchedTimestamp: Int64 { holdsNoRecords ? -1 : maxTimestamp }
    var holdsNoRecords: Bool { isControl || recordCount == 0 }
}
