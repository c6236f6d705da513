internal import KafkaProtocol

/// A group's records are listings of fields like the protocol's messages, in the flexible encoding: a later version of
/// the broker adds what it needs as tagged fields, which an earlier one skips.
extension StateRecord {
    /// Stands before every value. Another one means that this broker is too old for the data.
    private static let format: UInt8 = 1

    init(key: [UInt8], _ fields: some Fields) {
        var fields = fields
        var writer = Writer(version: Int16(Self.format), flexible: true)
        fields.fields(&writer)
        self.init(key: key, value: [Self.format] + writer.finish().bytes)
    }

    /// Without fields, the record that deletes what stands under the key.
    init<Row: Fields>(key: [UInt8], _ fields: Row?) {
        if let fields { self.init(key: key, fields) } else { self.init(key: key, value: nil) }
    }

    /// Throws where the record is none of this kind.
    func fields<Row: Fields>(_: Row.Type = Row.self) throws(GroupStateError) -> Row {
        guard let value, value.first == Self.format else { throw .unreadable(key: key) }
        // The reader stays within the span.
        var reader = unsafe Reader(value.span.bytes, at: 1, version: Int16(Self.format), flexible: true)
        var row = Row()
        row.fields(&reader)
        do { try reader.finish() } catch { throw .unreadable(key: key) }
        return row
    }
}
