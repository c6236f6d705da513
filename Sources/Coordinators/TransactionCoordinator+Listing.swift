public import KafkaProtocol

/// Transactions as they were at one moment. What their partitions are called takes longer to find, and nobody need wait for it.
public struct TransactionsDescribed: Sendable {
    private var transactions: [(described: DescribeTransactionsResponse.Transaction, places: [TransactionPartition])] = []

    fileprivate mutating func add(_ described: DescribeTransactionsResponse.Transaction, _ places: [TransactionPartition]) {
        transactions.append((described, places))
    }

    /// The answer; `name` says what a partition is called, nothing where its topic is gone.
    public func answer(naming name: (TransactionPartition) -> (topic: String, index: Int32)?) -> DescribeTransactionsResponse {
        var response = DescribeTransactionsResponse()
        response.transactionStates = transactions.map { described, places in
            var described = described
            described.topics = Self.topics(of: places, name)
            return described
        }
        return response
    }

    private static func topics(
        of places: [TransactionPartition], _ name: (TransactionPartition) -> (topic: String, index: Int32)?
    ) -> [DescribeTransactionsResponse.Topic] {
        var topics: [String: [Int32]] = [:]
        for place in places {
            if let (topic, index) = name(place) { topics[topic, default: []].append(index) }
        }
        return topics.sorted { $0.key < $1.key }.map { topic, indexes in
            DescribeTransactionsResponse.Topic {
                $0.topic = topic
                $0.partitions = indexes.sorted()
            }
        }
    }
}

extension TransactionCoordinator {
    /// DescribeTransactions 0 (KIP-664). Each id is described once, however often it is asked for. `ending` are the ids whose end is still
    /// on its way to the disk: it is decided, but no reader sees it, so they are told as prepared.
    public func describe(_ request: DescribeTransactionsRequest, ending: Set<ExactString> = []) -> TransactionsDescribed {
        var seen: Set<ExactString> = []
        var transactions = TransactionsDescribed()
        for transactionalID in request.transactionalIDs where seen.insert(transactionalID) {
            describe(transactionalID, isEnding: ending.contains(transactionalID), into: &transactions)
        }
        return transactions
    }

    private func describe(_ transactionalID: String, isEnding: Bool, into transactions: inout TransactionsDescribed) {
        var described = DescribeTransactionsResponse.Transaction()
        described.transactionalID = transactionalID
        guard let producer = producers[transactionalID] else {
            described.errorCode = transactionalID.isEmpty ? .invalidRequest : .transactionalIDNotFound
            return transactions.add(described, [])
        }
        described.transactionState = producer.phase.told(isEnding: isEnding).name
        described.transactionTimeoutMs = producer.timeoutMs
        described.transactionStartTimeMs = producer.startedMs
        described.producerID = producer.producerID
        described.producerEpoch = producer.epoch
        var places = producer.own.partitions.map { TransactionPartition(store: ownStore, id: $0) }
        for (store, participant) in producer.elsewhere { places += participant.share.partitions.map { TransactionPartition(store: store, id: $0) } }
        transactions.add(described, places)
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
