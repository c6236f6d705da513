internal import Synchronization

/// Counts connections, in all and by address: `max.connections` and `max.connections.per.ip`.
final class Admission: Sendable {
    enum Refusal: Error, Equatable {
        case full(limit: Int)
        case fullForHost(limit: Int)
    }

    private struct Counts {
        var total = 0
        var byHost: [String: Int] = [:]
    }

    private let counts = Mutex(Counts())

    var total: Int { counts.withLock { $0.total } }

    /// Counts a connection from `host`, or throws why it may not be.
    func enter(_ host: String, limit: Int, limitPerHost: Int) throws(Refusal) {
        try counts.withLock { counts throws(Refusal) in
            guard counts.total < limit else { throw .full(limit: limit) }
            let ofHost = counts.byHost[host, default: 0]
            guard ofHost < limitPerHost else { throw .fullForHost(limit: limitPerHost) }
            counts.total += 1
            counts.byHost[host] = ofHost + 1
        }
    }

    func leave(_ host: String) {
        counts.withLock { counts in
            counts.total -= 1
            guard let ofHost = counts.byHost[host] else { return }
            counts.byHost[host] = ofHost > 1 ? ofHost - 1 : nil
        }
    }
}
