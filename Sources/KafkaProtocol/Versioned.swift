/// Fields that only some versions of a message carry: `wire.int32(&leaderEpoch, 7...)`. In the other versions the
/// field keeps the default it was born with.
extension WireFormat where Self: ~Copyable, Self: ~Escapable {
    @inlinable public mutating func bool(_ value: inout Bool, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { bool(&value) }
    }

    @inlinable public mutating func int8(_ value: inout Int8, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { int8(&value) }
    }

    @inlinable public mutating func int16(_ value: inout Int16, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { int16(&value) }
    }

    @inlinable public mutating func uint16(_ value: inout UInt16, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { uint16(&value) }
    }

    @inlinable public mutating func int32(_ value: inout Int32, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { int32(&value) }
    }

    @inlinable public mutating func int64(_ value: inout Int64, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { int64(&value) }
    }

    @inlinable public mutating func uuid(_ value: inout Uuid, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { uuid(&value) }
    }

    @inlinable public mutating func string(_ value: inout String, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { string(&value) }
    }

    @inlinable public mutating func string(_ value: inout String?, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { string(&value) }
    }

    @inlinable public mutating func slice(_ value: inout FrameSlice?, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { slice(&value) }
    }

    @inlinable public mutating func bytes(_ value: inout [UInt8], _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { bytes(&value) }
    }

    @inlinable public mutating func bytes(_ value: inout [UInt8]?, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { bytes(&value) }
    }

    @inlinable public mutating func error(_ value: inout ErrorCode, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { error(&value) }
    }

    @inlinable public mutating func array<E: Fields>(_ value: inout [E], _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { array(&value) }
    }

    @inlinable public mutating func array<E: Fields>(_ value: inout [E]?, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { array(&value) }
    }

    @inlinable public mutating func optional<M: Fields>(_ value: inout M?, _ versions: some RangeExpression<Int16>) {
        if versions.contains(version) { optional(&value) }
    }

    @inlinable public mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M) {
        tagged(tag, &value, default: M())
    }

    @inlinable public mutating func tagged<M: Fields & Equatable>(
        _ tag: UInt32, _ value: inout M, _ versions: some RangeExpression<Int16>
    ) {
        if versions.contains(version) { tagged(tag, &value, default: M()) }
    }
}

/// Fields that may be null only in some versions: `wire.string(&name, nullable: 12...)`. In the others null is
/// written as empty, and never read.
extension WireFormat where Self: ~Copyable, Self: ~Escapable {
    @inlinable public mutating func string(_ value: inout String?, nullable versions: some RangeExpression<Int16>) {
        if versions.contains(version) { return string(&value) }
        var present = value ?? ""
        string(&present)
        value = present
    }

    @inlinable public mutating func array<E: Fields>(_ value: inout [E]?, nullable versions: some RangeExpression<Int16>) {
        if versions.contains(version) { return array(&value) }
        var present = value ?? []
        array(&present)
        value = present
    }
}
