public import NIOCore

/// How a client behaves on the network.
public struct ConnectionOptions: Sendable {
    /// Name that the broker sees in each request and shows in its logs.
    public var clientID = "lmbroker-client"
    public var connectTimeout: TimeAmount = .seconds(10)
    /// How long to wait for an answer before the connection is given up.
    public var requestTimeout: TimeAmount = .seconds(30)
    /// Longest response accepted, in bytes.
    public var responseByteCountMax = 256 << 20

    public init() {}
}
