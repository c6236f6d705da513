import KafkaProtocol

@testable import Coordinators

/// What the broker does with the coordinator's decisions: submits them at once, answers when they are durable.
extension TransactionSimulation {
    func submit(_ effects: TransactionEffects, then done: @escaping () -> Void) {
        let failures = self.failures
        stores[0].queue.append(
            (
                .steps(effects.steps),
                { [unowned self] code in
                    if code != .none, self.failures == 0 { problems.append("a step does not follow: \(effects)") }
                    guard code == .none, failures == self.failures else { return }
                    network += effects.deliveries.map { .delivery($0) }
                    done()
                }
            ))
        if coordinator.producerIDsLeft == 0 {
            coordinator.supply(producerIDs: nextProducerID..<(nextProducerID + 3))
            nextProducerID += 3
        }
    }

    func deliverOne() {
        guard !network.isEmpty else { return }
        let index = isDraining ? 0 : Int.random(in: network.indices, using: &random)
        let message = network[index]
        if !isDraining, chance(6), mayLinger(message) {
            note("doubled")
        } else {
            network.remove(at: index)
        }
        if !isDraining, chance(4) { return note("lost: \(message)") }
        note("\(message)")
        switch message {
        case .request(let client, let number, let request): handle(request, client, number)
        case .response(let client, let number, let response): hear(client, number, response)
        case .forward(let client, let number, let write): forwarded(write, client, number)
        case .delivery(let delivery): delivered(delivery)
        case .acknowledgement(let delivery): submit(coordinator.acknowledge(delivery, at: now)) {}
        }
    }

    private func mayLinger(_ message: Message) -> Bool {
        switch message {
        case .request(let client, _, let request): clients[client].isVersion2 || !request.mustNotLinger
        case .forward(let client, _, let write):
            if case .partition = write.place { true } else { clients[client].isVersion2 }
        default: true
        }
    }

    private func reply(_ client: Int, _ number: Int, _ response: SimulatedResponse) {
        network.append(.response(client: client, number: number, response))
    }

    private func handle(_ request: SimulatedRequest, _ client: Int, _ number: Int) {
        var response = SimulatedResponse()
        var effects: TransactionEffects
        switch request {
        case .begin(let request, let version):
            let (answer, decided) = coordinator.initProducerID(request, version: version, at: now)
            (response, effects) = (SimulatedResponse(code: answer.errorCode, producerID: answer.producerID, epoch: answer.producerEpoch), decided)
            if request.producerID == -1, !decided.isEmpty { replacements[request.transactionalID ?? "", default: 0] += 1 }
            response.replacements = replacements[request.transactionalID ?? "", default: 0]
        case .add(let place, let transactionalID, let producerID, let epoch):
            (response.code, effects) = add(place, transactionalID, producerID, epoch)
        case .end(let request, let version):
            let (answer, decided) = coordinator.endTransaction(request, version: version, at: now)
            (response, effects) = (SimulatedResponse(code: answer.errorCode, producerID: answer.producerID, epoch: answer.producerEpoch), decided)
        case .write(let write, let transactionalID, let version):
            return admit(write, transactionalID, version, client, number)
        }
        note("→ \(response) \(effects)")
        submit(effects) { [unowned self] in reply(client, number, response) }
    }

    private func add(_ place: TransactionPlace, _ transactionalID: String, _ producerID: Int64, _ epoch: Int16) -> (ErrorCode, TransactionEffects) {
        switch place {
        case .partition(let partition):
            let request = TransactionHarness.request(transactionalID, [("t", [Int32(partition.id)])], producerID, epoch)
            let (response, effects) = coordinator.addPartitions(request, version: 3, at: now) { _ in { _ in partition } }
            return (response.resultsByTopic[0].resultsByPartition[0].partitionErrorCode, effects)
        case .group(let group):
            let request = AddOffsetsToTxnRequest {
                $0.transactionalID = transactionalID
                $0.producerID = producerID
                $0.producerEpoch = epoch
                $0.groupID = group.id
            }
            let (response, effects) = coordinator.addOffsets(request, version: 3, groupStore: group.store, at: now)
            return (response.errorCode, effects)
        }
    }

    private func admit(_ write: SimulatedWrite, _ transactionalID: String, _ version: Int16, _ client: Int, _ number: Int) {
        var code = ErrorCode.none
        var effects: TransactionEffects
        switch write.place {
        case .partition(let partition):
            let (codes, decided) = coordinator.admitProduce(
                transactionalID: transactionalID, producerID: write.producerID, producerEpoch: write.epoch, partitions: [partition], version: version,
                at: now)
            (code, effects) = (codes[0], decided)
        case .group(let group):
            (code, effects) = coordinator.admitOffsetCommit(
                transactionalID: transactionalID, producerID: write.producerID, producerEpoch: write.epoch, group: group, version: version, at: now)
        }
        note("→ \(code) \(effects)")
        if code != .none { return submit(effects) { [unowned self] in reply(client, number, SimulatedResponse(code: code)) } }
        if write.place.store == 0 {
            submit(effects) {}
            stores[0].queue.append((.write(write), { [unowned self] code in reply(client, number, SimulatedResponse(code: code)) }))
        } else {
            submit(effects) { [unowned self] in network.append(.forward(client: client, number: number, write)) }
        }
    }

    private func forwarded(_ write: SimulatedWrite, _ client: Int, _ number: Int) {
        stores[1].queue.append((.write(write), { [unowned self] code in reply(client, number, SimulatedResponse(code: code)) }))
    }

    private func delivered(_ delivery: TransactionDelivery) {
        stores[1].queue.append((.delivery(delivery), { [unowned self] _ in network.append(.acknowledgement(delivery)) }))
    }
}
