import KafkaClient
import KafkaProtocol

/// An answer of the broker's on its way through the front, whose address takes the place of the broker's.
struct FrontAnswer {
    let header: RequestHeader
    let frame: Frame

    /// The answer with its size prefix; nil where there is nothing to replace.
    /// - Parameter code: what to say of the topics in metadata, which have no leaders then.
    func rewritten(_ front: BrokerAddress, refusing code: ErrorCode?) -> [UInt8]? {
        switch header.key {
        case .metadata:
            return rewrite(MetadataRequest.self) { response in
                for index in response.brokers.indices { (response.brokers[index].host, response.brokers[index].port) = (front.host, Int32(front.port)) }
                guard let code else { return }
                for index in response.topics.indices {
                    response.topics[index].errorCode = code
                    for part in response.topics[index].partitions.indices {
                        (response.topics[index].partitions[part].errorCode, response.topics[index].partitions[part].leaderID) = (code, -1)
                    }
                }
            }
        case .findCoordinator:
            return rewrite(FindCoordinatorRequest.self) { response in
                if !response.host.isEmpty { (response.host, response.port) = (front.host, Int32(front.port)) }
                for index in response.coordinators.indices where response.coordinators[index].errorCode == .none {
                    (response.coordinators[index].host, response.coordinators[index].port) = (front.host, Int32(front.port))
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
