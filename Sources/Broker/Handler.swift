internal import KafkaProtocol

/// What answers one API. A handler has no state of a request's; what it shares, it guards.
protocol Handler: Sendable {
    associatedtype Request: KafkaProtocol.Request
    /// The versions offered to clients, all of which `Request` can read.
    var versions: ClosedRange<Int16> { get }
    /// The versions below those offered and answered that ApiVersions shows nevertheless: clients draw conclusions from
    /// the lowest one. They are answered by `refuse`.
    var advertisedFrom: Int16 { get }
    /// Called on the connection's event loop, in the order of the requests: never blocks. Spends `reply`, now or later.
    func handle(_ request: Request, _ call: Call, _ reply: Reply)
    /// Called with any version: decodes the body and handles the request if the version is among `versions`.
    func take(_ call: Call, _ reply: Reply)
    /// Answers a version that is not among `versions`.
    func refuse(_ call: Call, _ reply: Reply)
}

extension Handler {
    var versions: ClosedRange<Int16> { Request.versions }
    var advertisedFrom: Int16 { versions.lowerBound }
    var advertised: ClosedRange<Int16> { advertisedFrom...versions.upperBound }

    func refuse(_ call: Call, _ reply: Reply) { reply.close(.unsupportedVersion, "the version is not supported") }

    func take(_ call: Call, _ reply: Reply) {
        guard versions.contains(call.header.version) else { return refuse(call, reply) }
        do throws(WireError) {
            handle(try decodeRequest(Request.self, call.header, call.frame.span), call, reply)
        } catch {
            reply.close("the request is malformed")
        }
    }
}

/// What came with a request.
struct Call: Sendable {
    let header: RequestHeader
    /// Slices of the request are of this frame. Nobody else sees it before it is submitted to the store.
    let frame: Frame
    let peer: Peer
    /// What clients that came in where this one did are told to connect to.
    let advertised: Listener
    /// The lane of the connection's event loop, for submissions.
    let lane: LoopLane
    let connection: ConnectionID
    let broker: BrokerContext
}

/// Who is at the other end.
struct Peer: Sendable, CustomStringConvertible {
    /// The address without port, as connections are counted by.
    let host: String
    let port: Int

    var description: String { "\(host):\(port)" }
}

/// Tells connections of one process apart.
struct ConnectionID: Hashable, Sendable {
    let rawValue: Int
}

/// All handlers by API key.
struct HandlerRegistry: Sendable {
    private var handlers: [(any Handler)?] = []
    /// In the order of their keys: what ApiVersions tells clients.
    private(set) var offered: [(key: ApiKey, versions: ClosedRange<Int16>)] = []

    init(_ all: [any Handler]) {
        func add<H: Handler>(_ handler: H) {
            let index = Int(H.Request.key.rawValue)
            while handlers.count <= index { handlers.append(nil) }
            precondition(handlers[index] == nil, "two handlers for \(H.Request.key)")
            handlers[index] = handler
            offered.append((H.Request.key, handler.advertised))
        }
        for handler in all { add(handler) }
        offered.sort { $0.key.rawValue < $1.key.rawValue }
    }

    subscript(key: ApiKey) -> (any Handler)? {
        handlers.indices.contains(Int(key.rawValue)) ? handlers[Int(key.rawValue)] : nil
    }
}
