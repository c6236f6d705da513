internal import KafkaProtocol
internal import Store

/// InitProducerId, versions 0–5: a producer id for idempotent producing (KIP-98). A producer that comes back with the id
/// it has (KIP-360) gets a new one, as in Kafka.
///
/// A transactional id is answered with TRANSACTIONAL_ID_AUTHORIZATION_FAILED while the broker keeps no transactions. Of all
/// errors it is the one that every client takes for final: librdkafka goes on trying after UNSUPPORTED_VERSION and after
/// every coordinator error, for ever and without telling its user.
struct InitProducerIdHandler: Handler {
    func handle(_ request: InitProducerIdRequest, _ call: Call, _ reply: Reply) {
        if request.transactionalID == "" || (request.producerID == -1) != (request.producerEpoch == -1) {
            return refuse(.invalidRequest, reply)
        }
        if request.transactionalID != nil { return refuse(.transactionalIDAuthorizationFailed, reply) }
        call.lane.submit(
            .admin(.allocateProducerID, lane: call.lane) { outcome in
                switch outcome {
                case .producerID(let id):
                    var response = InitProducerIdResponse()
                    response.producerID = id
                    reply.send(response)
                case .failure(let errorCode, _): refuse(errorCode, reply)
                default: refuse(.unknownServerError, reply)
                }
            })
    }

    private func refuse(_ errorCode: ErrorCode, _ reply: Reply) {
        var response = InitProducerIdResponse()
        response.errorCode = errorCode
        response.producerEpoch = -1
        reply.send(response)
    }
}
