/// Where a broker listens: `host:port`, `[v6-address]:port`, or a host alone (Kafka's port, 9092).
public struct BrokerAddress: Hashable, Sendable, CustomStringConvertible {
    public static let defaultPort = 9092
    public var host: String
    public var port: Int

    public init(host: String, port: Int = BrokerAddress.defaultPort) {
        self.host = host
        self.port = port
    }

    /// Nil when the text is no address.
    public init?(_ text: String) {
        var host = Substring(text)
        var port = Self.defaultPort
        if host.first == "[" {
            guard let end = host.firstIndex(of: "]") else { return nil }
            let rest = host[host.index(after: end)...]
            host = host[host.index(after: host.startIndex)..<end]
            if !rest.isEmpty {
                guard rest.first == ":", let number = Int(rest.dropFirst()) else { return nil }
                port = number
            }
        } else if let colon = host.lastIndex(of: ":") {
            guard let number = Int(host[host.index(after: colon)...]) else { return nil }
            host = host[..<colon]
            port = number
            // An IPv6 address without brackets has no port that could be told from it.
            if host.contains(":") { return nil }
        }
        guard !host.isEmpty, (1...65_535).contains(port) else { return nil }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
