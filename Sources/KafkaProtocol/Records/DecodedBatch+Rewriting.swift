/// What compaction does to a batch: some records go, and the rest keep their offsets.
extension DecodedBatch {
    /// The same batch with only the records that `kept` says, by their place in the batch: in the same codec, under a new checksum.
    ///
    /// As in Kafka, the base offset, the last offset delta, the sequences and whatever else the header says of the producer stay, so that
    /// offsets and transactions mean what they did.
    ///
    /// - Parameters:
    ///   - kept: one for each record of the batch.
    ///   - deleteHorizonMs: when tombstones may go, in ms since 1970: it takes the place of the base timestamp, under a bit of
    ///     the attributes, and the records' times count from there (KIP-534). Nil leaves what there is.
    public func rewritten(keeping kept: [Bool], deleteHorizonMs: Int64? = nil) throws(CompressionError) -> [UInt8] {
        precondition(kept.count == Int(header.recordCount), "whether to keep a record is said of each")
        guard kept.contains(true) else { return Self.emptied(header) }
        var output = GrowingBytes(capacity: RecordBatchHeader.headerByteCount + records.count)
        output.count = RecordBatchHeader.headerByteCount
        var header = header
        if let deleteHorizonMs {
            header.baseTimestamp = deleteHorizonMs
            header.attributes |= RecordBatchHeader.deleteHorizonBit
        }
        let latest = copy(kept, countingTimeFrom: header.baseTimestamp, to: &output)
        header.recordCount = Int32(kept.count { $0 })
        // Never more than was said before: whoever has looked the batch up by that finds it still.
        if header.timestampType == .createTime { header.maxTimestamp = min(header.maxTimestamp, latest) }
        if let codec = header.codec, codec != .none {
            let plain = unsafe UnsafeRawBufferPointer(rebasing: output.written[RecordBatchHeader.headerByteCount...])
            let compressed = unsafe try codec.compress(plain)
            output.count = RecordBatchHeader.headerByteCount
            output.reserve(compressed.count)
            unsafe compressed.withUnsafeBytes { unsafe output.put($0) }
        }
        return Self.completed(&output, header)
    }

    /// The batch of `header` without its records: nothing but the header, which clients pass over.
    public static func emptied(_ header: RecordBatchHeader) -> [UInt8] {
        var header = header
        header.recordCount = 0
        header.attributes &= ~(RecordBatchHeader.codecBits | RecordBatchHeader.deleteHorizonBit)
        header.baseTimestamp = header.maxTimestamp
        var output = GrowingBytes(capacity: RecordBatchHeader.headerByteCount)
        output.count = RecordBatchHeader.headerByteCount
        return completed(&output, header)
    }

    /// Puts the header before the records, with their length and checksum.
    private static func completed(_ output: inout GrowingBytes, _ header: RecordBatchHeader) -> [UInt8] {
        var header = header
        header.batchLength = Int32(output.count - RecordBatchHeader.uncountedByteCount)
        unsafe header.write(to: output.whole)
        header.crc = unsafe RecordBatchHeader.checksum(ofBatch: output.written)
        unsafe header.write(to: output.whole)
        return output.array
    }

    /// Copies the records that are kept, with their times counted from `base`, and returns the greatest of these times.
    private func copy(_ kept: [Bool], countingTimeFrom base: Int64, to output: inout GrowingBytes) -> Int64 {
        var latest = Int64.min
        unsafe records.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            var cursor = unsafe RecordCursor(start, from: 0, to: bytes.count)
            for isKept in kept {
                let recordStart = cursor.position
                let length = cursor.varint()
                let body = cursor.position
                // A reader has been over all of it; whoever has not is not misled further than to the end.
                let end = min(body + max(length, 0), bytes.count)
                defer { cursor.position = end }
                guard isKept, body < end else { continue }
                cursor.position = body + 1
                let time = header.baseTimestamp &+ cursor.varlong()
                latest = max(latest, time)
                if base == header.baseTimestamp {
                    output.reserve(end - recordStart)
                    unsafe output.put(UnsafeRawBufferPointer(rebasing: bytes[recordStart..<end]))
                    continue
                }
                let delta = Varint.zigzag(time &- base)
                let rest = cursor.position
                let count = 1 + Varint.byteCount(delta) + end - rest
                output.reserve(count + 5)
                output.put(Varint.zigzag(Int64(count)))
                unsafe output.put(UnsafeRawBufferPointer(rebasing: bytes[body..<(body + 1)]))
                output.put(delta)
                unsafe output.put(UnsafeRawBufferPointer(rebasing: bytes[rest..<end]))
            }
        }
        return latest
    }
}
