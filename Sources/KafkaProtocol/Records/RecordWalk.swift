/// A pass over the records of one batch that looks at everything but keys, values and headers themselves:
///
///     length         varint   of the rest of the record
///     attributes     Int8     unused
///     time delta     varlong  from the batch's base timestamp
///     offset delta   varint   from the batch's base offset
///     key length     varint   −1 for null, then the key
///     value length   varint   −1 for null, then the value
///     header count   varint   then for each a key (length, bytes) and a value (length, −1 for null, bytes)
///
/// Numbers are zigzag varints, as in Protocol Buffers.
struct RecordWalk {
    let header: RecordBatchHeader
    let requireKeys: Bool
    /// Times that pass, besides −1.
    let earliest: Int64, latest: Int64

    init(_ header: RecordBatchHeader, _ rules: ValidationRules) {
        self.header = header
        requireKeys = rules.requireKeys
        let bounds = rules.timestampType == .createTime ? rules.timestampBounds : Int64.min...Int64.max
        (earliest, latest) = (bounds.lowerBound, bounds.upperBound)
    }

    /// Checks the decompressed records of the batch.
    /// - Returns: the greatest timestamp among them.
    func check(_ records: UnsafeRawBufferPointer) throws(RecordError) -> Int64 {
        guard let base = records.baseAddress, records.count > 0 else { throw .recordCount(stated: header.recordCount) }
        var cursor = unsafe RecordCursor(base, from: 0, to: records.count)
        var newest = Int64.min
        var rejected = false
        for index in 0..<Int(header.recordCount) {
            guard let shape = Self.next(&cursor, index: index) else {
                // All used up between two records: not a malformed record but a missing one.
                throw cursor.position == records.count && !cursor.failed
                    ? .recordCount(stated: header.recordCount) : .malformed(record: index)
            }
            let time = header.baseTimestamp &+ shape.timeDelta
            newest = max(newest, time)
            let timely = time >= earliest && time <= latest || time == -1
            rejected = rejected || !timely || (requireKeys && shape.keyLength < 0)
        }
        if cursor.position != records.count { throw .recordCount(stated: header.recordCount) }
        if rejected { throw unsafe .rejected(rejections(records)) }
        return newest
    }

    /// Passes one well-formed record, or nil.
    @inline(__always)
    private static func next(_ cursor: inout RecordCursor, index: Int) -> (timeDelta: Int64, keyLength: Int)? {
        let end = cursor.end
        guard cursor.position < end else { return nil }
        let length = cursor.varint()
        guard length > 0, length <= end &- cursor.position else {
            cursor.fail()
            return nil
        }
        cursor.end = cursor.position &+ length
        cursor.position &+= 1
        let timeDelta = cursor.varlong()
        let offsetDelta = cursor.varint()
        let keyLength = cursor.skipBytes()
        _ = cursor.skipBytes()
        let headerCount = cursor.varint()
        if headerCount != 0 { cursor.skipHeaders(headerCount) }
        guard !cursor.failed, cursor.position == cursor.end, offsetDelta == index else {
            cursor.fail()
            return nil
        }
        cursor.end = end
        return (timeDelta, keyLength)
    }

    /// The second pass, over well-formed records of which some are not taken.
    @inline(never)
    private func rejections(_ records: UnsafeRawBufferPointer) -> [RejectedRecord] {
        var found: [RejectedRecord] = []
        guard let base = records.baseAddress else { return found }
        var cursor = unsafe RecordCursor(base, from: 0, to: records.count)
        var index = 0
        while found.count < ProducedBatch.rejectedRecordLimit, let shape = Self.next(&cursor, index: index) {
            let time = header.baseTimestamp &+ shape.timeDelta
            if requireKeys, shape.keyLength < 0 {
                found.append(RejectedRecord(index: Int32(index), reason: .noKey))
            } else if time != -1, time < earliest || time > latest {
                found.append(RejectedRecord(index: Int32(index), reason: .timestamp))
            }
            index += 1
        }
        return found
    }
}
