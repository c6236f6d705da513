import KafkaProtocol

// Which broker coordinates a group, and how to talk to it.
extension Cluster {
    /// Asks who coordinates the group, once.
    func findCoordinator(of group: String) async throws(ClientError) -> BrokerAddress {
        let connection = try await anyConnection()
        let response = try await connection.call(
            FindCoordinatorRequest {
                $0.key = group
                $0.coordinatorKeys = [group]
            })
        // Versions from 4 on answer in a list (KIP-699).
        var (code, message, host, port) = (response.errorCode, response.errorMessage, response.host, response.port)
        if let found = response.coordinators.first { (code, message, host, port) = (found.errorCode, found.errorMessage, found.host, found.port) }
        guard code == .none else {
            let said = message.map { ": \($0)" } ?? ""
            throw .broker(code, "\(connection.address) does not name the coordinator of the group \(group)\(said)")
        }
        guard !host.isEmpty, (1...65_535).contains(port) else { throw Admin.silent(connection) }
        let address = BrokerAddress(host: host, port: Int(port))
        remember(coordinator: address, of: group)
        return address
    }

    /// Does `operation` with the shared connection to the group's coordinator, again while it fails with an error that may
    /// pass, and asks anew who that is when the one known is not.
    func atCoordinator<Result>(
        of group: String, within limit: Duration? = nil, _ operation: (Connection) async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        try await retrying(within: limit) { () async throws(ClientError) in
            do throws(ClientError) {
                let known = knownCoordinator(of: group)
                let address: BrokerAddress
                if let known { address = known } else { address = try await findCoordinator(of: group) }
                return try await operation(try await connection(to: address))
            } catch {
                switch error.code {
                case nil, .notCoordinator?, .coordinatorNotAvailable?: remember(coordinator: nil, of: group)
                default: break
                }
                throw error
            }
        }
    }
}
