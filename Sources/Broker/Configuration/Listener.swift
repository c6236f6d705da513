/// An address to listen on, or to tell clients: `NAME://HOST:PORT`.
public struct Listener: Sendable, Equatable, CustomStringConvertible {
    public let name: String
    /// Empty: every interface.
    public let host: String
    public let port: Int

    public init(name: String, host: String, port: Int) {
        self.name = name
        self.host = host
        self.port = port
    }

    /// Reads `NAME://HOST:PORT`; an IPv6 address stands in brackets. nil when it is not one.
    public init?(_ text: String) {
        guard let scheme = text.range(of: "://") else { return nil }
        let name = String(text[..<scheme.lowerBound])
        guard !name.isEmpty, let (host, port) = Self.hostAndPort(String(text[scheme.upperBound...])) else { return nil }
        self.init(name: name.uppercased(), host: host, port: port)
    }

    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `:PORT`.
    public static func hostAndPort(_ text: String) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port) else {
            return nil
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        // A bare IPv6 address would make the port a guess.
        guard !host.contains(":") || text.hasPrefix("[") else { return nil }
        return (host, port)
    }

    /// True when it stands for every interface, so that clients must be told something else.
    public var isWildcard: Bool { host.isEmpty || host == "0.0.0.0" || host == "::" }

    public var description: String { "\(name)://\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}

/// A listener that could not be bound, with what the system says.
public struct ListenerError: Error, CustomStringConvertible {
    public let listener: Listener
    public let cause: any Error

    public var description: String { "the broker cannot listen on \(listener): \(cause)" }
}

extension String {
    /// The first place where `other` stands.
    fileprivate func range(of other: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(other) { return start..<index(start, offsetBy: other.count) }
            start = index(after: start)
        }
        return nil
    }
}
