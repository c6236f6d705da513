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
        var outer = unsafe RecordCursor(base, from: 0, to: records.count)
        var oldest = Int64.max, newest = Int64.min
        var keyless = false
        for index in 0..<Int(header.recordCount) {
            var shape = Shape()
            if !Self.plainRecord(&outer, index: index, &shape) {
                if outer.position == records.count { throw .recordCount(stated: header.recordCount) }
                // A copy goes there and back, so that the cursor itself can live in registers.
                var copy = outer
                guard let careful = Self.next(&copy, index: index) else { throw .malformed(record: index) }
                outer = copy
                shape = careful
            }
            let time = header.baseTimestamp &+ shape.timeDelta
            newest = max(newest, time)
            oldest = min(oldest, time)
            keyless = keyless || shape.isKeyless
        }
        if outer.position != records.count { throw .recordCount(stated: header.recordCount) }
        if oldest < earliest || newest > latest || (requireKeys && keyless) {
            // One by one: a record without a time passes.
            let rejected = unsafe rejections(records)
            if !rejected.isEmpty { throw .rejected(rejected) }
        }
        return newest
    }

    private struct Shape {
        var timeDelta: Int64 = 0
        var isKeyless = false
    }

    /// Passes a record without headers whose numbers take one or two bytes each, as nearly all do, in 5.7 ns where
    /// `next` takes 9. Whatever else it meets, a lie included, it leaves untouched for `next` to judge.
    @inline(__always)
    private static func plainRecord(_ outer: inout RecordCursor, index: Int, _ shape: inout Shape) -> Bool {
        let end = outer.end
        var position = outer.position
        // Length, attributes, time, offset and key length at two bytes each take nine.
        guard end &- position >= 16 else { return false }
        var long: UInt64 = 0
        let length = outer.short(&position, &long)
        let recordEnd = position &+ Int(length &>> 1)
        position &+= 1
        let timeDelta = outer.short(&position, &long)
        let offsetDelta = outer.short(&position, &long)
        let keyLength = outer.short(&position, &long)
        // An odd number is a negative one; of those, 1 stands for −1, null.
        position &+= Int(keyLength &>> 1)
        guard position &+ 2 <= end else { return false }
        let valueLength = outer.short(&position, &long)
        position &+= Int(valueLength &>> 1)
        guard position < end else { return false }
        guard long == 0, outer.byte(at: position) == 0, position &+ 1 == recordEnd, length & 1 == 0 else { return false }
        guard offsetDelta == UInt64(index) &<< 1, keyLength & 1 == 0 || keyLength == 1, valueLength & 1 == 0 || valueLength == 1 else {
            return false
        }
        outer.position = recordEnd
        shape.timeDelta = RecordCursor.zigzag(timeDelta)
        shape.isKeyless = keyLength == 1
        return true
    }

    /// Passes one well-formed record, or returns nil.
    @inline(never)
    private static func next(_ outer: inout RecordCursor, index: Int) -> Shape? {
        let length = outer.varint()
        guard !outer.failed, length > 0, length <= outer.end &- outer.position else {
            outer.fail()
            return nil
        }
        let start = outer.position
        var cursor = unsafe RecordCursor(outer.base, from: start &+ 1, to: start &+ length)
        let timeDelta = cursor.varlong()
        let offsetDelta = cursor.varint()
        let keyLength = cursor.skipBytes()
        _ = cursor.skipBytes()
        cursor.skipHeaders(cursor.varint())
        guard !cursor.failed, cursor.position == cursor.end, offsetDelta == index else {
            outer.fail()
            return nil
        }
        outer.position = cursor.end
        return Shape(timeDelta: timeDelta, isKeyless: keyLength < 0)
    }

    /// The second pass, over well-formed records of which some may not be taken.
    @inline(never)
    private func rejections(_ records: UnsafeRawBufferPointer) -> [RejectedRecord] {
        var found: [RejectedRecord] = []
        guard let base = records.baseAddress else { return found }
        var outer = unsafe RecordCursor(base, from: 0, to: records.count)
        var index = 0
        while found.count < ProducedBatch.rejectedRecordLimit, outer.position < outer.end, let shape = Self.next(&outer, index: index) {
            let time = header.baseTimestamp &+ shape.timeDelta
            if requireKeys, shape.isKeyless {
                found.append(RejectedRecord(index: Int32(index), reason: .noKey))
            } else if time != -1, time < earliest || time > latest {
                found.append(RejectedRecord(index: Int32(index), reason: .timestamp))
            }
            index += 1
        }
        return found
    }
}
