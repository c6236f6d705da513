/// One direction of the Kafka wire: a reader fills the fields it is shown, a writer copies them out.
/// A message lists its fields once, in wire order, and serves both.
public typealias Wire = WireFormat & ~Copyable & ~Escapable

/// The primitive types of Kafka's protocol (https://kafka.apache.org/protocol#protocol_types), each as
/// one step that reads or writes in place. `flexible` chooses between fixed and compact lengths (KIP-482).
public protocol WireFormat: ~Copyable, ~Escapable {
    var version: Int16 { get }
    var flexible: Bool { get }
    /// True once a reader has run past its frame: whatever follows is not worth reading.
    var exhausted: Bool { get }
    mutating func bool(_ value: inout Bool)
    mutating func int8(_ value: inout Int8)
    mutating func int16(_ value: inout Int16)
    mutating func uint16(_ value: inout UInt16)
    mutating func int32(_ value: inout Int32)
    mutating func int64(_ value: inout Int64)
    mutating func uuid(_ value: inout Uuid)
    mutating func string(_ value: inout String)
    mutating func string(_ value: inout String?)
    /// Record batches or other opaque bytes left where they are: a slice of the frame read from, or of the
    /// buffer that the written message will be joined with (`Encoded.insertions`).
    mutating func slice(_ value: inout FrameSlice?)
    /// Small opaque bytes, copied.
    mutating func bytes(_ value: inout [UInt8])
    mutating func bytes(_ value: inout [UInt8]?)
    /// Announces `count` elements, nil for a null array; a reader returns what the frame says, a writer echoes.
    mutating func count(_ count: Int?) -> Int?
    /// A field that travels only when it differs from its default, labelled `tag`. Call in tag order, before `tags()`.
    mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M)
    /// The end of a structure: unknown tagged fields are skipped by a reader.
    mutating func tags()
}

/// A structure that lists its fields once, in wire order.
public protocol Fields {
    init()
    mutating func fields(_ wire: inout some Wire)
}

extension WireFormat where Self: ~Copyable, Self: ~Escapable {
    @inlinable public mutating func array<E: Fields>(_ value: inout [E]) {
        guard let count = count(value.count) else { return value = [] }
        elements(&value, count)
    }

    @inlinable public mutating func array<E: Fields>(_ value: inout [E]?) {
        guard let count = count(value?.count) else { return value = nil }
        var elements = value ?? []
        value = nil
        self.elements(&elements, count)
        value = elements
    }

    /// `count` differs from `value.count` only while reading, when `value` is still empty.
    @inlinable mutating func elements<E: Fields>(_ value: inout [E], _ count: Int) {
        if value.isEmpty, count > 0 {
            // A lying count costs no memory up front: growth follows the bytes that are really there.
            value.reserveCapacity(min(count, 1024))
            for _ in 0..<count {
                if exhausted { return }
                var element = E()
                element.fields(&self)
                value.append(element)
            }
        } else {
            for index in value.indices { value[index].fields(&self) }
        }
    }
}

extension Bool: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.bool(&self) }
}

extension Int8: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.int8(&self) }
}

extension Int32: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.int32(&self) }
}

extension Int64: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.int64(&self) }
}

extension String: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.string(&self) }
}

extension Uuid: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.uuid(&self) }
}
