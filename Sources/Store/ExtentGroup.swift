internal import KafkaProtocol

/// Consecutive extents that are being cleaned, and what becomes of them: batches that stay are filled into extents anew, so
/// that what is freed later is coarse again.
struct ExtentGroup {
    private(set) var replacement: ExtentReplacement
    /// As long as extents are made now.
    private let valueByteCountMax: Int
    /// Some batch goes or is written anew.
    private var isChanged = false

    init(_ partition: Partition, valueByteCountMax: Int) {
        replacement = ExtentReplacement(partition)
        self.valueByteCountMax = valueByteCountMax
    }

    /// An extent with at least so many bytes is not written anew only to be put together with others.
    var fullByteCount: Int { valueByteCountMax / 2 }

    var isEmpty: Bool { replacement.old.isEmpty }

    /// As much as one commit takes.
    var isFull: Bool {
        replacement.old.count >= CleaningLimits.commitExtentCount || newByteCount >= CleaningLimits.commitByteCount
    }

    /// Whether there is a point in it.
    var isWorthwhile: Bool { isChanged || replacement.new.count < replacement.old.count }

    private var newByteCount: Int { replacement.new.reduce(0) { $0 + $1.bytes.count } }

    /// Whether an extent that stays as it is goes into the last one here.
    func fits(_ byteCount: Int) -> Bool {
        guard let last = replacement.new.last else { return true }
        return last.bytes.count + byteCount <= valueByteCountMax
    }

    mutating func add(_ extent: CleanedExtent) {
        replacement.old.append(extent.old)
        replacement.gapsEnd = max(replacement.gapsEnd, extent.end)
        replacement.forgottenAborts += extent.forgottenAborts
        isChanged = isChanged || extent.isChanged
        for batch in extent.batches {
            batch.bytes.withUnsafeBytes {
                put(UnsafeRawBufferPointer(rebasing: $0[batch.range]), batch.header, from: extent.old)
            }
        }
    }

    private mutating func put(_ batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader, from old: ExtentReplacement.Old) {
        if !fits(batch.count) || replacement.new.isEmpty {
            replacement.new.append(.init(baseOffset: header.baseOffset, bytes: [], runningMaximum: old.runningMaximum))
        }
        let last = replacement.new.count - 1
        replacement.new[last].bytes.append(contentsOf: batch)
        replacement.new[last].runningMaximum = old.runningMaximum
        // When a batch without a time was appended, the extent alone knew.
        replacement.new[last].time.add(header.searchedTimestamp, keptBy: header.holdsNoRecords ? -1 : old.keptTimestamp)
    }

    /// The group to go on with once this one stands in the log: where its last extent has room, that is filled up.
    func successor(valueByteCountMax: Int) -> ExtentGroup {
        var next = ExtentGroup(replacement.partition, valueByteCountMax: valueByteCountMax)
        guard let last = replacement.new.last, last.bytes.count < next.fullByteCount,
            let header = last.bytes.withUnsafeBytes({ RecordBatchHeader($0) })
        else { return next }
        next.replacement.old = [
            .init(
                baseOffset: last.baseOffset, byteCount: last.bytes.count, runningMaximum: last.runningMaximum, keptTimestamp: last.time.kept,
                crc: header.crc)
        ]
        next.replacement.new = [last]
        next.replacement.gapsEnd = replacement.gapsEnd
        return next
    }
}

/// An extent and what is left of it.
struct CleanedExtent {
    struct Batch {
        var header: RecordBatchHeader
        /// The extent's own where the batch is as it was.
        var bytes: [UInt8]
        var range: Range<Int>
    }

    var old: ExtentReplacement.Old
    /// The offset after its last batch.
    var end: Int64
    var batches: [Batch] = []
    var forgottenAborts: [Int64] = []
    var isChanged = false
}
