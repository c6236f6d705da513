/// One direction of the Kafka wire: a reader fills the fields it is shown, a writer copies them out.
/// A message lists its fields once, in wire order, and serves both.
public typealias Wire = WireFormat & ~Copyable & ~Escapable

/// The types of Kafka's protocol (https://kafka.apache.org/protocol#protocol_types), each as
/// one step that reads or writes in place. `flexible` chooses between fixed and compact lengths (KIP-482).
public protocol WireFormat: ~Copyable, ~Escapable {
    var version: Int16 { get }
    var flexible: Bool { get }
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
    mutating func error(_ value: inout ErrorCode)
    mutating func array<E: Fields>(_ value: inout [E])
    mutating func array<E: Fields>(_ value: inout [E]?)
    /// A structure that may be null, announced by one byte.
    mutating func optional<M: Fields>(_ value: inout M?)
    /// A field that travels only when it differs from its default, labelled `tag`. Call in tag order, after all
    /// other fields of the structure and before `tags()`. Nothing happens where the version is not flexible.
    mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M, default: M)
    /// The end of a structure: unknown tagged fields are skipped by a reader.
    mutating func tags()
}

/// A structure that lists its fields once, in wire order. Its initial values are the defaults that Kafka
/// gives to fields which a version does not carry.
public protocol Fields: Sendable {
    init()
    mutating func fields(_ wire: inout some Wire)
}

extension Fields {
    /// The defaults, changed by `set`: `ProduceResponse.Partition { $0.index = 3 }`.
    @inlinable public init<E: Error>(_ set: (inout Self) throws(E) -> Void) throws(E) {
        self.init()
        try set(&self)
    }
}

// What a field may be when it stands alone: as an element of an array, or behind a tag.

extension Bool: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.bool(&self) }
}

extension Int8: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.int8(&self) }
}

extension Int16: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.int16(&self) }
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

extension ErrorCode: Fields {
    /// No error.
    @inlinable public init() { self.init(rawValue: 0) }
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.error(&self) }
}

/// Behind a tag, an array that is not empty travels.
extension Array: Fields where Element: Fields {
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.array(&self) }
}

/// Behind a tag, a nullable string that is not null travels.
extension Optional: Fields where Wrapped == String {
    @inlinable public init() { self = nil }
    @inlinable public mutating func fields(_ wire: inout some Wire) { wire.string(&self) }
}
