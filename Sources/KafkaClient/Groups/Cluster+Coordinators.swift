import KafkaProtocol

/// What a broker coordinates.
enum CoordinatorKind: Int8, Sendable {
    case group = 0
    case transaction = 1

    var noun: String { self == .group ? "group" : "transactional id" }
}

/// A group's or a transactional id's name.
struct CoordinatorKey: Hashable, Sendable {
    var kind: CoordinatorKind
    var name: String
}

// Which broker coordinates a group or a transactional id, and how to talk to it.
extension Cluster {
    /// Asks who the coordinator is, once.
    func findCoordinator(of name: String, _ kind: CoordinatorKind = .group) async throws(ClientError) -> BrokerAddress {
        let connection = try await anyConnection()
        let response = try await connection.call(
            FindCoordinatorRequest {
                $0.key = name
                $0.keyType = kind.rawValue
                $0.coordinatorKeys = [name]
            })
        // Versions from 4 on answer in a list (KIP-699).
        var (code, message, host, port) = (response.errorCode, response.errorMessage, response.host, response.port)
        if let found = response.coordinators.first { (code, message, host, port) = (found.errorCode, found.errorMessage, found.host, found.port) }
        guard code == .none else {
            let said = message.map { ": \($0)" } ?? ""
            throw .broker(code, "\(connection.address) does not name the coordinator of the \(kind.noun) \(name)\(said)")
        }
        guard !host.isEmpty, (1...65_535).contains(port) else { throw Admin.silent(connection) }
        let address = BrokerAddress(host: host, port: Int(port))
        remember(coordinator: address, of: name, kind)
        return address
    }

    /// Does `operation` with the shared connection to the coordinator, again while it fails with an error that may pass,
    /// and asks anew who that is when the one known is not.
    func atCoordinator<Result>(
        of name: String, _ kind: CoordinatorKind = .group, within limit: Duration? = nil,
        _ operation: (Connection) async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        try await retrying(within: limit) { () async throws(ClientError) in
            do throws(ClientError) {
                let known = knownCoordinator(of: name, kind)
                let address: BrokerAddress
                if let known { address = known } else { address = try await findCoordinator(of: name, kind) }
                return try await operation(try await connection(to: address))
            } catch {
                switch error.code {
                case nil, .notCoordinator?, .coordinatorNotAvailable?: remember(coordinator: nil, of: name, kind)
                default: break
                }
                throw error
            }
        }
    }
}
