/// What one connection may have under way before it is not read any more.
struct ConnectionLimits: Sendable {
    /// `socket.request.max.bytes`
    var frameBytesMax: Int
    /// Bytes of requests without an answer. One request may be larger.
    var requestBytesMax: Int
    /// Requests without an answer sent.
    var requestsMax = 1000
    /// Bytes of answers that wait for those before them, or for the client to read, or are being made.
    var answerBytesMax = 16 << 20
    /// So much of an unfinished frame shows that the client is alive.
    var livelyBytes = 64 << 10
    /// Bytes in the channel's own queue at which it counts as not writable, and as writable again.
    var unwrittenBytes = (low: 256 << 10, high: 2 << 20)

    init(_ configuration: BrokerConfiguration) {
        frameBytesMax = configuration.requestBytesMax
        requestBytesMax = max(1 << 20, configuration.queuedRequestBytesMax / 2)
    }
}
