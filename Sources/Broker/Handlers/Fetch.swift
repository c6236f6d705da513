internal import KafkaProtocol
internal import NIOCore

/// Fetch, versions 4–17: record batches of partitions, with long polling (KIP-74), isolation levels (KIP-98),
/// incremental sessions (KIP-227), leader epochs (KIP-320), topic ids (KIP-516) and diverging epochs (KIP-595).
///
/// Deviations from Kafka: an answer holds at most 4 MiB of records (and the first batch whole), or 16 MiB where the client waits for
/// more than 2 MiB (`min_bytes`), whatever it and `fetch.max.bytes` allow, and less when the answers of all clients together use up
/// their memory; followers' fetches are answered as consumers' are, since the replicas of a partition are not followers in Kafka's
/// sense.
struct FetchHandler: Handler {
    func handle(_ request: FetchRequest, _ call: Call, _ reply: Reply) {
        switch call.broker.fetchSessions.plan(request, version: call.header.version, store: call.broker.store) {
        case .refused(let errorCode):
            var response = FetchResponse()
            response.errorCode = errorCode
            reply.send(response)
        case .plan(let plan):
            let fetch = WaitingFetch(request, plan: plan, call: call, reply: reply)
            if fetch.survey() || request.maxWaitMs <= 0 { fetch.answer() } else { call.lane.parked.park(fetch) }
        }
    }
}
