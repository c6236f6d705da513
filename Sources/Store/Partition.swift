internal import DequeModule
public import KafkaProtocol
internal import Synchronization

/// A batch that is not in a sealed extent yet: in the journal, or in an extent of its own above unsealed ones.
struct Piece: Equatable, Sendable {
    var baseOffset: Int64
    var lastOffset: Int64
    /// The greatest that a search finds in it.
    var maxTimestamp: Int64
    /// What retention keeps it by.
    var keptTimestamp: Int64
    /// Journal entry that holds the bytes; 0: in the keyspace, under `baseOffset`.
    var sequence: UInt64
    /// From the start of the entry's payload.
    var position: UInt32
    var byteCount: UInt32

    var isDirect: Bool { sequence == 0 }

    /// - Parameters:
    ///   - sequence: of the journal entry that says so.
    ///   - timeMs: of its commit.
    init(_ batch: AppendedBatch, in sequence: UInt64, at timeMs: Int64) {
        baseOffset = batch.baseOffset
        lastOffset = batch.lastOffset
        maxTimestamp = batch.maxTimestamp
        keptTimestamp = batch.keptTimestamp(at: timeMs)
        self.sequence = batch.isDirect ? 0 : sequence
        position = batch.position
        byteCount = batch.batchByteCount
    }
}

/// What readers see of a partition: changed by the committer when a commit is on disk, never before.
struct PartitionTail: Sendable {
    var logStartOffset: Int64 = 0
    var highWatermark: Int64 = 0
    /// Below it, every transaction has ended.
    var lastStableOffset: Int64 = 0
    /// The index of aborted transactions has entries of the partition.
    var hasAborted = false
    /// Bytes of the extents in the keyspace.
    var logByteCount: Int64 = 0
    /// Unsealed batches in offset order; all below the first of them is in the keyspace.
    var pieces: Deque<Piece> = []
    var isDeleted = false

    var sealedEnd: Int64 { pieces.first?.baseOffset ?? highWatermark }

    /// Bytes of record batches, those of extents that wait for their deletion included.
    var byteCount: Int { pieces.reduce(Int(logByteCount)) { $0 + ($1.isDirect ? 0 : Int($1.byteCount)) } }

    /// Whether the keyspace holds the same in both. Batches may have been added to the journal.
    func isAsSealed(as other: PartitionTail) -> Bool {
        logStartOffset == other.logStartOffset && logByteCount == other.logByteCount && isDeleted == other.isDeleted
            && sealedEnd == other.sealedEnd
    }

    /// The first piece that ends at or after `offset`.
    func pieceIndex(holding offset: Int64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].lastOffset < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A partition of a topic: what readers may know of it at any moment.
public final class Partition: Sendable {
    public let id: PartitionID
    public let topicID: Uuid
    public let index: Int32
    let tail: Mutex<PartitionTail>
    /// The committer's own; see `PartitionState`.
    nonisolated(unsafe) var state: PartitionState

    init(id: PartitionID, topicID: Uuid, index: Int32, state: PartitionState, tail: PartitionTail) {
        self.id = id
        self.topicID = topicID
        self.index = index
        self.state = state
        self.tail = Mutex(tail)
    }

    /// A new, empty partition.
    convenience init(id: PartitionID, topicID: Uuid, index: Int32) {
        self.init(id: id, topicID: topicID, index: index, state: PartitionState(), tail: PartitionTail())
    }

    /// The offset of the first record that may be read.
    public var logStartOffset: Int64 { tail.withLock { $0.logStartOffset } }
    /// The offset after the last record that is on disk (on every in-sync replica).
    public var highWatermark: Int64 { tail.withLock { $0.highWatermark } }
    /// The offset before which every transaction has ended: where a reader of committed records stops.
    public var lastStableOffset: Int64 { tail.withLock { $0.lastStableOffset } }
    /// The epoch of the partition's leadership; a single broker leads for ever.
    public var leaderEpoch: Int32 { 0 }
    /// Bytes of record batches kept.
    public var byteCount: Int { tail.withLock { $0.byteCount } }
    /// The topic was deleted.
    public var isDeleted: Bool { tail.withLock { $0.isDeleted } }

    /// The bounds of the partition and what could be read from `offset`, seen at one moment. `committedOnly`: below the last
    /// stable offset.
    public func look(from offset: Int64, committedOnly: Bool = false) -> PartitionLook {
        tail.withLock { tail in
            var look = PartitionLook(
                logStartOffset: tail.logStartOffset, highWatermark: tail.highWatermark, lastStableOffset: tail.lastStableOffset,
                availableBytes: 0, isTail: true, isDeleted: tail.isDeleted)
            let end = committedOnly ? tail.lastStableOffset : tail.highWatermark
            guard offset >= tail.logStartOffset, offset < end else { return look }
            if offset < tail.sealedEnd {
                look.isTail = false
                look.availableBytes = min(tail.byteCount, PartitionLook.bytesCountedMax)
            } else {
                for index in tail.pieceIndex(holding: offset)..<tail.pieces.count {
                    guard tail.pieces[index].baseOffset < end else { break }
                    look.availableBytes += Int(tail.pieces[index].byteCount)
                    if look.availableBytes >= PartitionLook.bytesCountedMax { break }
                }
            }
            return look
        }
    }

    /// The largest epoch at or below `epoch` and the offset at which it ended (KIP-101, KIP-320); (−1, −1) when unknown.
    public func epochEnd(of epoch: Int32) -> (epoch: Int32, endOffset: Int64) {
        epoch == leaderEpoch ? (epoch, highWatermark) : (-1, -1)
    }
}

/// A partition at one moment, for one who wants to read from an offset.
public struct PartitionLook: Sendable, Equatable {
    /// The most that `availableBytes` counts: nobody waits for more.
    public static let bytesCountedMax = 16 << 20

    public var logStartOffset: Int64
    public var highWatermark: Int64
    public var lastStableOffset: Int64
    /// Bytes of whole batches at and after the offset: exact in the tail. Of what is sealed, nobody knows how much comes before the offset, and
    /// all of the partition's counts.
    public var availableBytes: Int
    /// The offset is among the batches that were just written; reading them touches no cold page.
    public var isTail: Bool
    public var isDeleted: Bool
}

/// What the committer alone knows of a partition: the state after the last operation it has decided on, which readers
/// come to see through `PartitionTail` when the commit is on disk. Touched by the committer only.
struct PartitionState {
    var logStartOffset: Int64 = 0
    var nextOffset: Int64 = 0
    var logByteCount: Int64 = 0
    /// Greatest timestamp appended, and sealed; −1 before the first.
    var maxTimestamp: Int64 = -1
    var sealedMaxTimestamp: Int64 = -1
    var producers: [Int64: ProducerState] = [:]
    /// Producers whose row is behind.
    var staleProducers: Set<Int64> = []
    /// In the order they began.
    var openTransactions: [OpenTransaction] = []
    /// The index of aborted transactions has entries of the partition.
    var hasAborted = false
    var isDeleted = false
    /// The row holds the effects of the journal up to this sequence.
    var asOf: UInt64 = 0
    /// The row may not know of what the log start has passed unsealed: it is to be written before that leaves the journal.
    var isRowBehindLogStart = false
    /// Bytes in the journal, those of this commit included.
    var unsealedByteCount = 0
    /// When producers that have expired were last looked for, in ms; 0: not since the start.
    var expiryLookedForMs: Int64 = 0
    var cleaning = CleaningState()
    var isQueuedForSealing = false
    var isQueuedForDeletion = false
    /// Values at the front that a commit has asked the kernel for, so that the next one deletes them.
    var prefetchedPartCount = 0

    // Of the commit being made; `publish` empties them.
    var isTouched = false
    var added: [Piece] = []
    /// How many of the tail's first pieces were sealed.
    var sealedPieceCount = 0

    /// A piece leaves the front of the tail without being sealed: an extent that is in line, or below the log start.
    /// The running maximum must not forget it, or `times` would fall out of order.
    mutating func passed(_ piece: Piece) {
        sealedMaxTimestamp = max(sealedMaxTimestamp, piece.maxTimestamp)
        if !piece.isDirect { unsealedByteCount -= Int(piece.byteCount) }
    }

    mutating func remember(_ batch: AppendedBatch, at timeMs: Int64) {
        nextOffset = batch.lastOffset + 1
        maxTimestamp = max(maxTimestamp, batch.maxTimestamp)
        guard batch.producerID >= 0 else { return }
        if batch.isControl { return end(batch, at: timeMs) }
        guard batch.baseSequence >= 0 else { return }
        let remembered = ProducerBatch(batch)
        producers[batch.producerID, default: ProducerState(epoch: batch.producerEpoch)]
            .add(remembered, epoch: batch.producerEpoch, at: timeMs)
        if batch.isTransactional { begin(batch) }
        staleProducers.insert(batch.producerID)
    }
}

extension ProducerBatch {
    init(_ batch: AppendedBatch) {
        baseSequence = batch.baseSequence
        lastSequence = RecordBatchHeader.sequence(batch.baseSequence, advancedBy: batch.lastOffsetDelta)
        baseOffset = batch.baseOffset
        lastOffset = batch.lastOffset
        timestamp = batch.maxTimestamp
    }
}
