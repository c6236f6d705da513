public import KafkaProtocol

extension TransactionCoordinator {
    /// DescribeTransactions 0 (KIP-664). `name` says what a partition is called, nothing where its topic is gone. Each id
    /// is described once, however often it is asked for. `ending` are the ids whose end is still on its way to the disk: it is
    /// decided, but no reader sees it, so they are told as prepared.
    public func describe(
        _ request: DescribeTransactionsRequest, ending: Set<ExactString> = [], name: (TransactionPartition) -> (topic: String, index: Int32)?
    ) -> DescribeTransactionsResponse {
        var seen: Set<ExactString> = []
        var response = DescribeTransactionsResponse()
        for transactionalID in request.transactionalIDs where seen.insert(transactionalID) {
            response.transactionStates.append(describe(transactionalID, isEnding: ending.contains(transactionalID), name))
        }
        return response
    }

    private func describe(
        _ transactionalID: String, isEnding: Bool, _ name: (TransactionPartition) -> (topic: String, index: Int32)?
    ) -> DescribeTransactionsResponse.Transaction {
        var described = DescribeTransactionsResponse.Transaction()
        described.transactionalID = transactionalID
        guard let producer = producers[transactionalID] else {
            described.errorCode = transactionalID.isEmpty ? .invalidRequest : .transactionalIDNotFound
            return described
        }
        described.transactionState = producer.phase.told(isEnding: isEnding).name
        described.transactionTimeoutMs = producer.timeoutMs
        described.transactionStartTimeMs = producer.startedMs
        described.producerID = producer.producerID
        described.producerEpoch = producer.epoch
        var places = producer.own.partitions.map { TransactionPartition(store: ownStore, id: $0) }
        for (store, participant) in producer.elsewhere { places += participant.share.partitions.map { TransactionPartition(store: store, id: $0) } }
        var topics: [String: [Int32]] = [:]
        for place in places {
            if let (topic, index) = name(place) { topics[topic, default: []].append(index) }
        }
        described.topics = topics.sorted { $0.key < $1.key }.map { topic, indexes in
            DescribeTransactionsResponse.Topic {
                $0.topic = topic
                $0.partitions = indexes.sorted()
            }
        }
        return described
    }

    /// ListTransactions 0–1, sorted by id. A duration filter leaves open transactions that have lasted longer (KIP-994).
    /// `ending` as for `describe`.
    public func list(_ request: ListTransactionsRequest, ending: Set<ExactString> = [], at moment: Moment) -> ListTransactionsResponse {
        var response = ListTransactionsResponse()
        let names = Set(TransactionPhase.allCases.map(\.name)).union(TransactionPhase.namesUnused)
        var seen: Set<String> = []
        response.unknownStateFilters = request.stateFilters.filter { !names.contains($0) && seen.insert($0).inserted }
        let states = Set(request.stateFilters)
        let producerIDs = Set(request.producerIDFilters)
        for (transactionalID, producer) in producers {
            let phase = producer.phase.told(isEnding: ending.contains(transactionalID))
            if !states.isEmpty, !states.contains(phase.name) { continue }
            if !producerIDs.isEmpty, !producerIDs.contains(producer.producerID) { continue }
            if request.durationFilter >= 0, !(phase.isOpen && moment.wallClockMs - producer.startedMs > request.durationFilter) { continue }
            response.transactionStates.append(
                ListTransactionsResponse.Transaction {
                    $0.transactionalID = transactionalID.text
                    $0.producerID = producer.producerID
                    $0.transactionState = phase.name
                })
        }
        response.transactionStates.sort { ExactString($0.transactionalID) < ExactString($1.transactionalID) }
        return response
    }
}
