public import KafkaProtocol

/// What a transaction consists of: partitions and groups come in by the client's own request, or (transaction version 2,
/// KIP-890) with the first batch and the first offset commit.
extension TransactionCoordinator {
    /// Finds a topic, and then the place of each of its partitions; nothing where there is no such partition.
    public typealias PartitionResolver = (_ topic: String) -> (_ index: Int32) -> TransactionPartition?

    /// AddPartitionsToTxn 0–3. Where `resolve` does not find one of the partitions, none of them is added.
    public mutating func addPartitions(
        _ request: AddPartitionsToTxnRequest, version: Int16, at moment: Moment, resolve: PartitionResolver
    ) -> (AddPartitionsToTxnResponse, TransactionEffects) {
        if version >= 4 { return addBatch(request, at: moment, resolve: resolve) }
        var transaction = AddPartitionsToTxnRequest.Transaction()
        transaction.transactionalID = request.transactionalID
        transaction.producerID = request.producerID
        transaction.producerEpoch = request.producerEpoch
        transaction.topics = request.topics
        let (topics, effects) = addPartitions(transaction, at: moment, resolve: resolve) { version < 2 ? Self.fencing($0) : $0 }
        return (AddPartitionsToTxnResponse { $0.resultsByTopic = topics }, effects)
    }

    /// AddPartitionsToTxn 4–5, which brokers send: several transactions, to add to or only to ask about.
    private mutating func addBatch(
        _ request: AddPartitionsToTxnRequest, at moment: Moment, resolve: PartitionResolver
    ) -> (AddPartitionsToTxnResponse, TransactionEffects) {
        var effects = TransactionEffects()
        var response = AddPartitionsToTxnResponse()
        for transaction in request.transactions {
            let (topics, more) = addPartitions(transaction, at: moment, resolve: resolve) { $0 }
            effects.add(more)
            response.resultsByTransaction.append(
                AddPartitionsToTxnResponse.Transaction {
                    $0.transactionalID = transaction.transactionalID
                    $0.topicResults = topics
                })
        }
        return (response, effects)
    }

    private mutating func addPartitions(
        _ transaction: AddPartitionsToTxnRequest.Transaction, at moment: Moment, resolve: PartitionResolver,
        _ spelling: (ErrorCode) -> ErrorCode
    ) -> ([AddPartitionsToTxnResponse.Topic], TransactionEffects) {
        let places = transaction.topics.map { $0.partitions.map(resolve($0.name)) }
        let known = places.joined().compactMap { $0 }
        let claim = ProducerClaim(transactionalID: transaction.transactionalID, producerID: transaction.producerID, producerEpoch: transaction.producerEpoch)
        var effects = TransactionEffects()
        var code = ErrorCode.none
        var codes: [TransactionPartition: ErrorCode] = [:]
        if known.count < places.reduce(0, { $0 + $1.count }) {
            code = .operationNotAttempted
        } else if transaction.verifyOnly {
            codes = verify(claim, partitions: known)
        } else {
            (code, effects) = add(claim, partitions: known, groups: [], at: moment)
        }
        let topics = zip(transaction.topics, places).map { topic, places in
            AddPartitionsToTxnResponse.Topic {
                $0.name = topic.name
                $0.resultsByPartition = zip(topic.partitions, places).map { index, place in
                    AddPartitionsToTxnResponse.Partition {
                        $0.partitionIndex = index
                        $0.partitionErrorCode = spelling(place.map { codes[$0] ?? code } ?? .unknownTopicOrPartition)
                    }
                }
            }
        }
        return (topics, effects)
    }

    /// AddOffsetsToTxn 0–4: the group's offsets will be in the transaction.
    public mutating func addOffsets(
        _ request: AddOffsetsToTxnRequest, version: Int16, groupStore: Int32 = 0, at moment: Moment
    ) -> (AddOffsetsToTxnResponse, TransactionEffects) {
        let claim = ProducerClaim(transactionalID: request.transactionalID, producerID: request.producerID, producerEpoch: request.producerEpoch)
        let (code, effects) = addGroup(claim, TransactionGroup(store: groupStore, id: request.groupID), at: moment)
        return (AddOffsetsToTxnResponse { $0.errorCode = version < 2 ? Self.fencing(code) : code }, effects)
    }

    private mutating func addGroup(_ claim: ProducerClaim, _ group: TransactionGroup, at moment: Moment) -> (ErrorCode, TransactionEffects) {
        guard GroupCoordinator.isValid(groupID: group.id) else { return (.invalidGroupID, TransactionEffects()) }
        return add(claim, partitions: [], groups: [group], at: moment)
    }

    /// May a Produce request write these transactional batches? One code for each partition. From version 12 on the
    /// partitions come into the transaction by this, and the batches are to be submitted behind the steps; before, they
    /// must have been added.
    public mutating func admitProduce(
        transactionalID: String?, producerID: Int64, producerEpoch: Int16, partitions: [TransactionPartition], version: Int16, at moment: Moment
    ) -> ([ErrorCode], TransactionEffects) {
        guard let transactionalID else { return (partitions.map { _ in .transactionalIDAuthorizationFailed }, TransactionEffects()) }
        let claim = ProducerClaim(transactionalID: transactionalID, producerID: producerID, producerEpoch: producerEpoch)
        if version >= 12 {
            let (code, effects) = add(claim, partitions: partitions, groups: [], at: moment)
            return (partitions.map { _ in Self.fencing(code) }, effects)
        }
        let codes = verify(claim, partitions: partitions)
        return (partitions.map { Self.refusal(codes[$0] ?? .none, knowsAbortable: version == 11) }, TransactionEffects())
    }

    /// May a TxnOffsetCommit commit offsets of this group? From version 5 on the group comes into the transaction by
    /// this; before, it must have been added. Whether the member may commit is the group coordinator's to say, before.
    public mutating func admitOffsetCommit(
        transactionalID: String, producerID: Int64, producerEpoch: Int16, group: TransactionGroup, version: Int16, at moment: Moment
    ) -> (ErrorCode, TransactionEffects) {
        let claim = ProducerClaim(transactionalID: transactionalID, producerID: producerID, producerEpoch: producerEpoch)
        if version >= 5 {
            let (code, effects) = addGroup(claim, group, at: moment)
            return (Self.fencing(code), effects)
        }
        var code = judge(claim)
        if code == .none, let producer = producers[transactionalID], !producer.contains(group, ownStore: ownStore) { code = .transactionAbortable }
        if code == .none, !isSettled([group.store], of: transactionalID) { code = .concurrentTransactions }
        // Offset commits are repeated by all clients after this code, and after CONCURRENT_TRANSACTIONS by newer ones only.
        code = code == .concurrentTransactions ? .coordinatorLoadInProgress : Self.refusal(code, knowsAbortable: version == 4)
        return (code, TransactionEffects())
    }

    /// What older clients are told instead of what they do not know, or would not repeat.
    private static func refusal(_ code: ErrorCode, knowsAbortable: Bool) -> ErrorCode {
        switch code {
        case .transactionAbortable: knowsAbortable ? code : .invalidTxnState
        case .concurrentTransactions: .notEnoughReplicas
        default: fencing(code)
        }
    }
}

/// Who a request says it comes from.
struct ProducerClaim {
    var transactionalID: String
    var producerID: Int64
    var producerEpoch: Int16
}

extension TransactionCoordinator {
    /// Is the claim the holder's, and may the transaction grow?
    func judge(_ claim: ProducerClaim) -> ErrorCode {
        guard Self.isValid(transactionalID: claim.transactionalID) else { return .invalidRequest }
        guard let producer = producers[claim.transactionalID], producer.producerID == claim.producerID else { return .invalidProducerIDMapping }
        if producer.epoch != claim.producerEpoch { return .producerFenced }
        return producer.phase.isPrepared ? .concurrentTransactions : .none
    }

    private func verify(_ claim: ProducerClaim, partitions: [TransactionPartition]) -> [TransactionPartition: ErrorCode] {
        let code = judge(claim)
        let producer = producers[claim.transactionalID]
        var codes: [TransactionPartition: ErrorCode] = [:]
        for partition in partitions {
            if code != .none {
                codes[partition] = code
            } else if producer?.contains(partition, ownStore: ownStore) != true {
                codes[partition] = .transactionAbortable
            } else {
                codes[partition] = isSettled([partition.store], of: claim.transactionalID) ? ErrorCode.none : .concurrentTransactions
            }
        }
        return codes
    }

    /// True when the gates of these stores are as the transaction has them.
    private func isSettled(_ stores: some Sequence<Int32>, of transactionalID: String) -> Bool {
        guard let producer = producers[transactionalID], !producer.elsewhere.isEmpty else { return true }
        return stores.allSatisfy { $0 == ownStore || producer.elsewhere[$0]?.isSettled ?? true }
    }

    private mutating func add(
        _ claim: ProducerClaim, partitions: [TransactionPartition], groups: [TransactionGroup], at moment: Moment
    ) -> (ErrorCode, TransactionEffects) {
        let transactionalID = claim.transactionalID
        let code = judge(claim)
        guard code == .none, let known = producers[transactionalID] else { return (code, TransactionEffects()) }
        let newPartitions = partitions.filter { !known.contains($0, ownStore: ownStore) }
        let newGroups = groups.filter { !known.contains($0, ownStore: ownStore) }
        if !newPartitions.isEmpty || !newGroups.isEmpty {
            let more = Set(newPartitions).count
            let added = known.partitionAndGroupCounts
            guard added.partitions + more <= options.partitionsMax, added.groups + newGroups.count <= options.groupsMax,
                addedCount + more + newGroups.count <= options.addedMax
            else { return (.policyViolation, TransactionEffects()) }
        }
        var effects = TransactionEffects()
        if !newPartitions.isEmpty || !newGroups.isEmpty, var producer = take(transactionalID) {
            producer.add(newPartitions, newGroups, ownStore: ownStore, at: moment)
            effects = self.effects(transactionalID, &producer, at: moment)
            keep(producer, as: transactionalID)
        }
        let stores = partitions.lazy.map(\.store) + groups.map(\.store)
        return (isSettled(stores, of: transactionalID) ? .none : .concurrentTransactions, effects)
    }
}

extension TransactionalProducer {
    var partitionAndGroupCounts: (partitions: Int, groups: Int) {
        elsewhere.values.reduce((own.partitions.count, own.groupIDs.count)) {
            ($0.0 + $1.share.partitions.count, $0.1 + $1.share.groupIDs.count)
        }
    }

    /// The first addition begins the transaction, and its timeout.
    mutating func add(_ partitions: [TransactionPartition], _ groups: [TransactionGroup], ownStore: Int32, at moment: Moment) {
        revision += 1
        changedMs = moment.wallClockMs
        if phase != .ongoing {
            phase = .ongoing
            startedMs = moment.wallClockMs
            deadlineMs = moment.monotonicMs + Int64(timeoutMs)
        }
        for partition in partitions {
            if partition.store == ownStore { own.add(partition.id) } else { extend(partition.store, at: moment) { $0.add(partition.id) } }
        }
        for group in groups {
            if group.store == ownStore { own.add(group: group.id) } else { extend(group.store, at: moment) { $0.add(group: group.id) } }
        }
    }

    private mutating func extend(_ store: Int32, at moment: Moment, _ change: (inout TransactionShare) -> Void) {
        var participant = elsewhere.removeValue(forKey: store) ?? TransactionParticipant(revision: revision, tellAgainMs: moment.monotonicMs)
        change(&participant.share)
        participant.revision = revision
        participant.tellAgainMs = moment.monotonicMs
        elsewhere[store] = participant
    }
}
