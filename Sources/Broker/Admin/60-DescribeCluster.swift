internal import KafkaProtocol
internal import Store

/// DescribeCluster 0–2 (KIP-700, KIP-919, KIP-1073). The one broker is its own controller; there is no controller endpoint.
struct DescribeClusterHandler: Handler {
    func handle(_ request: DescribeClusterRequest, _ call: Call, _ reply: Reply) {
        var response = DescribeClusterResponse()
        response.endpointType = request.endpointType
        switch request.endpointType {
        case 1:
            let configuration = call.broker.configuration.current
            var broker = DescribeClusterResponse.Broker()
            broker.brokerID = configuration.nodeID
            broker.host = call.advertised.host
            broker.port = Int32(call.advertised.port)
            broker.rack = configuration.rack
            response.clusterID = call.broker.store.clusterID
            response.controllerID = configuration.nodeID
            response.brokers = [broker]
            if request.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = AuthorizedOperations.cluster }
        case 2:
            response.errorCode = .mismatchedEndpointType
            response.errorMessage = "The request was sent to a broker, not to a controller."
        default:
            response.errorCode = .unsupportedEndpointType
            response.errorMessage = "There is no endpoint type \(request.endpointType)."
        }
        reply.send(response)
    }
}
