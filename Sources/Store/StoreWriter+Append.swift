internal import KafkaProtocol
internal import LMDB
internal import Synchronization

extension StoreWriter {
    /// No producer begins a batch here or later: a batch may say that it has 2³¹ records, and markers are to find room.
    private static var offsetsEnd: Int64 { .max - 1 << 40 }

    /// Gives a batch its place: an offset, and either the journal entry being drafted or an extent of its own.
    func append(_ append: Append, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) -> AppendResult {
        let partition = append.partition
        let header = append.header
        guard !partition.state.isDeleted else {
            return AppendResult(errorCode: .unknownTopicOrPartition, errorMessage: "the topic was deleted")
        }
        if header.isControl {
            return AppendResult(errorCode: .invalidRecord, errorMessage: "only the broker writes control batches")
        }
        guard partition.state.nextOffset < Self.offsetsEnd else {
            return AppendResult(errorCode: .invalidRecord, errorMessage: "the partition has used up its offsets")
        }
        if header.isTransactional || header.producerID >= 0 && header.baseSequence >= 0 {
            switch judge(append) {
            case .accept: break
            case .duplicate(let known):
                return AppendResult(
                    errorCode: .none, baseOffset: known.baseOffset,
                    logAppendTimeMs: header.timestampType == .logAppendTime ? known.timestamp : -1,
                    logStartOffset: partition.state.logStartOffset)
            case .refuse(let code, let sentence):
                return AppendResult(errorCode: code, errorMessage: sentence, logStartOffset: partition.state.logStartOffset)
            }
        }
        let baseOffset = try place(append, &draft, &transaction)
        draft.batchCount += 1
        draft.recordCount += Int(header.recordCount)
        return AppendResult(
            errorCode: .none, baseOffset: baseOffset, logAppendTimeMs: header.timestampType == .logAppendTime ? header.maxTimestamp : -1,
            logStartOffset: partition.state.logStartOffset)
    }

    /// Writes a batch that was judged at the partition's next offset, and returns that.
    func place(_ append: Append, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) -> Int64 {
        let partition = append.partition
        touch(partition, &draft)
        let baseOffset = partition.state.nextOffset
        var batch = AppendedBatch(append, baseOffset: baseOffset, position: 0, isDirect: append.slice.length >= directByteCountMin)
        if batch.isDirect {
            if !draft.entry.fits(payload: 0) { try finishEntry(isLast: false, &draft, &transaction) }
            draft.entry.appendDirect(append, baseOffset: baseOffset)
            try putExtent(of: append, batch, &draft, &transaction)
        } else {
            if !draft.entry.fits(payload: append.slice.length) { try finishEntry(isLast: false, &draft, &transaction) }
            batch.position = draft.entry.appendSmall(append, baseOffset: baseOffset, leaderEpoch: partition.leaderEpoch)
            partition.state.unsealedByteCount += append.slice.length
            if partition.state.unsealedByteCount >= extentByteCountMax - directByteCountMin, !partition.state.isQueuedForSealing {
                partition.state.isQueuedForSealing = true
                sealQueue.append(partition)
            }
        }
        partition.state.added.append(Piece(batch, in: draft.sequence, at: draft.timeMs))
        let producerCount = partition.state.producers.count
        partition.state.remember(batch, at: draft.timeMs)
        if partition.state.producers.count > producerCount { try producerWasAdded(at: draft.timeMs, &transaction) }
        return baseOffset
    }

    /// Puts a large batch under its own key, in as many parts as it takes.
    private func putExtent(
        of append: Append, _ batch: AppendedBatch, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        let partition = append.partition
        let slice = append.slice
        var copied = 0
        var part: UInt32 = 0
        while copied < slice.length {
            let count = min(slice.length - copied, draft.valueByteCountMax)
            let piece = FrameSlice(offset: slice.offset + copied, length: count)
            try putValue(LogKey(partition.id, batch.baseOffset, part: part), byteCount: count, in: databases.log, &transaction) { bytes in
                if part == 0 {
                    append.frame.copyBatch(piece, to: bytes, baseOffset: batch.baseOffset, leaderEpoch: partition.leaderEpoch)
                } else {
                    append.frame.withUnsafeBytes {
                        bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[piece.offset..<(piece.offset + count)]))
                    }
                }
            }
            copied += count
            part += 1
        }
        partition.state.logByteCount += Int64(slice.length)
        draft.directByteCount += slice.length
        draft.logValueCount += Int(part)
        var time = ExtentTime()
        time.add(batch.maxTimestamp, keptBy: batch.keptTimestamp(at: draft.timeMs))
        try putTime(
            partition, baseOffset: batch.baseOffset, runningMaximum: max(partition.state.maxTimestamp, batch.maxTimestamp), time, &transaction)
    }

    /// Enters an extent into `times`.
    func putTime(
        _ partition: Partition, baseOffset: Int64, runningMaximum: Int64, _ time: ExtentTime, _ transaction: inout Transaction
    ) throws(LMDBError) {
        let key = TimeKey(partition.id, runningMaximum: runningMaximum, baseOffset: baseOffset)
        try transaction.reserve(key, byteCount: 8, in: databases.times) { bytes in
            bytes.storeBytes(of: time.stored.bigEndian, as: Int64.self)
        }
    }

    /// Nil where so many bytes may be written, of a produce request unless it is said otherwise; else why not.
    func admit(byteCount: Int, for purpose: DiskBudget.Purpose = .records) -> StoreError? {
        if case .stopped(let reason) = state { return .stopped(reason) }
        if budget.admits(byteCount, for: purpose, environment) {
            if purpose == .records, case .full = state { become(.serving) }
            return nil
        }
        let reason = budget.sentence
        if state == .serving { become(.full(reason)) }
        return .full(reason)
    }

    /// Changes the state and tells the operator.
    func become(_ next: StoreState) {
        state = next
        shared.state.withLock { $0 = next }
        switch next {
        case .serving: options.onEvent(StoreEvent(severity: .info, message: "there is room again: the store takes records"))
        case .full(let reason): options.onEvent(StoreEvent(severity: .warning, message: "the store takes no more records: \(reason)"))
        case .stopped(let reason): options.onEvent(StoreEvent(severity: .error, message: "the store takes no more writes: \(reason)"))
        }
    }
}
