internal import KafkaProtocol

/// FindCoordinator, versions 0–6: a single broker coordinates every group and transaction itself; several keys at once
/// from version 4 on (KIP-699). Share groups (KIP-932) are not kept, and their keys are refused with INVALID_REQUEST.
struct FindCoordinatorHandler: Handler {
    func handle(_ request: FindCoordinatorRequest, _ call: Call, _ reply: Reply) {
        // 0 is a group's key, 1 a transactional id.
        let isKnown = request.keyType == 0 || request.keyType == 1
        let coordinators = (call.header.version >= 4 ? request.coordinatorKeys.uniqued : [request.key]).map { key in
            var coordinator = FindCoordinatorResponse.Coordinator()
            coordinator.key = key
            if isKnown {
                coordinator.nodeID = call.broker.nodeID
                coordinator.host = call.advertised.host
                coordinator.port = Int32(call.advertised.port)
            } else {
                coordinator.nodeID = -1
                coordinator.port = -1
                coordinator.errorCode = .invalidRequest
                coordinator.errorMessage = "there are no coordinators for keys of type \(request.keyType)"
            }
            return coordinator
        }
        var response = FindCoordinatorResponse()
        response.coordinators = coordinators
        if call.header.version < 4, let only = coordinators.first {
            response.nodeID = only.nodeID
            response.host = only.host
            response.port = only.port
            response.errorCode = only.errorCode
            response.errorMessage = only.errorMessage
        }
        reply.send(response)
    }
}
