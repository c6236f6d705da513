/// The body of a request or a response.
public protocol Message: Fields {
    static var key: ApiKey { get }
    /// `fields` for the two coders that carry traffic. The default is right for every message; it is a requirement
    /// so that it is compiled beside the message, where the compiler specialises the listing, and not beside the caller.
    mutating func read(_ reader: inout Reader)
    mutating func write(_ writer: inout Writer)
}

extension Message {
    public mutating func read(_ reader: inout Reader) { fields(&reader) }
    public mutating func write(_ writer: inout Writer) { fields(&writer) }

    /// The first version in the flexible encoding (KIP-482).
    public static var flexibleFrom: Int16 { key.flexibleFrom }
}

public protocol Request: Message {
    associatedtype Response: Message
    /// The versions that this code can speak.
    static var versions: ClosedRange<Int16> { get }
}

extension Request {
    /// 1, or 2 with tags behind the client id.
    public static func requestHeaderVersion(_ version: Int16) -> Int16 { version >= flexibleFrom ? 2 : 1 }

    /// 0, or 1 with tags behind the correlation id.
    public static func responseHeaderVersion(_ version: Int16) -> Int16 { key.responseHeaderVersion(version) }
}

extension ApiKey {
    /// 0, or 1 with tags behind the correlation id. ApiVersions has 0 always: a client asks for it before it knows
    /// what the broker speaks (KIP-511).
    public func responseHeaderVersion(_ version: Int16) -> Int16 { self != .apiVersions && version >= flexibleFrom ? 1 : 0 }
}

/// Stands before every request.
public struct RequestHeader: Sendable, Equatable {
    public var key: ApiKey
    public var version: Int16
    /// Chosen by the client, echoed in the response.
    public var correlationID: Int32
    public var clientID: String?
    /// Where the request's body begins in the frame.
    public var byteCount: Int

    /// Reads the header at the start of `frame`, which begins after the size prefix. The key and version need not be
    /// known. Throws if the frame is too short.
    public init(_ frame: RawSpan) throws(WireError) {
        // The client id keeps its fixed length in flexible versions too, so that any broker can read it.
        var reader = Reader(frame, version: 1, flexible: false, stringBytesMax: Reader.requestStringBytesMax)
        var key: Int16 = 0
        reader.int16(&key)
        self.key = ApiKey(rawValue: key)
        version = 0
        correlationID = 0
        reader.int16(&version)
        reader.int32(&correlationID)
        reader.string(&clientID)
        byteCount = reader.position
        try reader.finish()
        if version >= self.key.flexibleFrom {
            var tags = Reader(frame, at: byteCount, version: 2, flexible: true)
            tags.tags()
            byteCount = tags.position
            try tags.finish()
        }
    }
}

/// Reads the body of the request that `header` was read from. Throws if the frame is too short, its lengths lie, or
/// the version is none of `R.versions`; the caller answers an unsupported version before it comes here.
public func decodeRequest<R: Request>(_: R.Type, _ header: RequestHeader, _ frame: RawSpan) throws(WireError) -> R {
    guard R.versions.contains(header.version) else { throw .unsupportedVersion }
    var reader = Reader(
        frame, at: header.byteCount, version: header.version, flexible: header.version >= R.flexibleFrom,
        stringBytesMax: Reader.requestStringBytesMax)
    var request = R()
    request.read(&reader)
    try reader.finish()
    return request
}

/// Writes a request with its header and size prefix. `version` must be one of `R.versions`.
public func encodeRequest<R: Request>(
    _ request: consuming R, correlationID: Int32, clientID: String?, version: Int16
) -> Encoded {
    precondition(R.versions.contains(version), "no such version of this request")
    let flexible = version >= R.flexibleFrom
    var writer = Writer(version: version, flexible: flexible)
    writer.put(Int32(0))
    writer.put(R.key.rawValue)
    writer.put(version)
    writer.put(correlationID)
    if let clientID {
        let octets = clientID.utf8.prefix(Int(Int16.max))
        writer.put(Int16(octets.count))
        for octet in octets { writer.put(octet) }
    } else {
        writer.put(Int16(-1))
    }
    writer.tags()
    request.write(&writer)
    return writer.finishSized()
}

/// Writes a response with its header and size prefix. `capacity` is a guess at its length in bytes, without records.
public func encodeResponse<M: Message>(
    _ response: consuming M, correlationID: Int32, version: Int16, capacity: Int = 256
) -> Encoded {
    var writer = Writer(version: version, flexible: version >= M.flexibleFrom, capacity: capacity)
    writer.put(Int32(0))
    writer.put(correlationID)
    if M.key.responseHeaderVersion(version) == 1 { writer.tags() }
    response.write(&writer)
    return writer.finishSized()
}

/// The correlation id at the start of a response, which tells the client what it answers. Throws if there is none.
public func responseCorrelationID(_ frame: RawSpan) throws(WireError) -> Int32 {
    var reader = Reader(frame, version: 0, flexible: false)
    let correlationID = reader.take(Int32.self)
    try reader.finish()
    return correlationID
}

/// Reads the response to a request of kind `R` in `version`; `frame` begins after the size prefix. Throws if the
/// frame is too short or its lengths lie.
public func decodeResponse<R: Request>(_: R.Type, version: Int16, _ frame: RawSpan) throws(WireError) -> R.Response {
    let flexible = version >= R.flexibleFrom
    var reader = Reader(frame, version: version, flexible: flexible)
    _ = reader.take(Int32.self)
    if R.responseHeaderVersion(version) == 1 { reader.tags() }
    var response = R.Response()
    response.read(&reader)
    try reader.finish()
    return response
}
