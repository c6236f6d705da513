import KafkaClient
import KafkaProtocol

/// What a front tells of the cluster that is not so.
struct FrontView: Sendable {
    /// Who coordinates groups and transactions; nil for the front.
    var coordinator: BrokerAddress?
    /// Partitions that have no leader.
    var leaderless: Set<Int32> = []
}

/// An answer of the broker's on its way through the front, whose address takes the place of the broker's.
struct FrontAnswer {
    let header: RequestHeader
    let frame: Frame

    /// The answer with its size prefix; nil where there is nothing to replace.
    /// - Parameter code: what to say of the topics in metadata, which have no leaders then.
    func rewritten(_ front: BrokerAddress, _ view: FrontView, refusing code: ErrorCode?) -> [UInt8]? {
        switch header.key {
        case .metadata:
            return rewrite(MetadataRequest.self) { response in
                for index in response.brokers.indices { (response.brokers[index].host, response.brokers[index].port) = (front.host, Int32(front.port)) }
                for index in response.topics.indices {
                    if let code { response.topics[index].errorCode = code }
                    for part in response.topics[index].partitions.indices
                    where code != nil || view.leaderless.contains(response.topics[index].partitions[part].partitionIndex) {
                        response.topics[index].partitions[part].errorCode = code ?? .leaderNotAvailable
                        response.topics[index].partitions[part].leaderID = -1
                    }
                }
            }
        case .findCoordinator:
            let named = view.coordinator ?? front
            return rewrite(FindCoordinatorRequest.self) { response in
                if !response.host.isEmpty { (response.host, response.port) = (named.host, Int32(named.port)) }
                for index in response.coordinators.indices where response.coordinators[index].errorCode == .none {
                    (response.coordinators[index].host, response.coordinators[index].port) = (named.host, Int32(named.port))
                }
            }
        case .describeCluster:
            return rewrite(DescribeClusterRequest.self) { response in
                for index in response.brokers.indices { (response.brokers[index].host, response.brokers[index].port) = (front.host, Int32(front.port)) }
            }
        default: return nil
        }
    }

    private func rewrite<R: Request>(_: R.Type, _ change: (inout R.Response) -> Void) -> [UInt8]? {
        guard var response = try? decodeResponse(R.self, version: header.version, frame.span) else { return nil }
        change(&response)
        return encodeResponse(response, correlationID: header.correlationID, version: header.version).joined(with: frame.span)
    }
}
