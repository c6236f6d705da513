import KafkaProtocol

@testable import Coordinators

/// What the clients do next, and with the answers.
extension TransactionSimulation {
    private static func places(_ storeCount: Int) -> [TransactionPlace] {
        (0..<Int32(storeCount)).flatMap { store in
            [
                TransactionPlace.partition(TransactionPartition(store: store, id: 1)), .partition(TransactionPartition(store: store, id: 2)),
                .group(TransactionGroup(store: store, id: "g")),
            ]
        }
    }

    func act(_ index: Int) {
        guard clients[index].phase != .dead else { return }
        if chance(1), chance(30) {
            clients[index].phase = .dead
            return note("client \(index) dies")
        }
        if let waiting = clients[index].waiting {
            if chance(10) { repeatRequest(index, waiting.number, waiting.request) } else if chance(4) { giveUp(index) }
            return
        }
        if let request = clients[index].again {
            clients[index].again = nil
            return send(index, request)
        }
        goOn(index)
    }

    private func goOn(_ index: Int) {
        switch clients[index].phase {
        case .dead: break
        case .starting: send(index, clients[index].beginRequest(isContinued: false, timeoutMs: 60_000))
        case .bumping: send(index, clients[index].beginRequest(isContinued: true, timeoutMs: 60_000))
        case .ready:
            if chance(3) {
                clients[index].phase = .bumping
            } else {
                let places = Self.places(storeCount)
                clients[index].startTransaction((0..<Int.random(in: 1...4, using: &random)).map { _ in places[Int.random(in: places.indices, using: &random)] })
                accounts[clients[index].tag] = Account()
            }
        case .inside:
            if !clients[index].mustAbort, let request = clients[index].nextWrite() { return send(index, request) }
            let commits = !clients[index].mustAbort && chance(75)
            clients[index].phase = .ending
            if commits { accounts[clients[index].tag]?.commitRequested = true }
            send(index, clients[index].endRequest(commit: commits))
        case .ending: break
        }
    }

    private func send(_ index: Int, _ request: SimulatedRequest) {
        nextNumber += 1
        clients[index].waiting = (nextNumber, request)
        network.append(.request(client: index, number: nextNumber, request))
    }

    private func repeatRequest(_ index: Int, _ number: Int, _ request: SimulatedRequest) {
        if !clients[index].isVersion2, request.mustNotLinger { forgetCopies(index) }
        network.append(.request(client: index, number: number, request))
    }

    /// See `mustNotLinger`.
    private func forgetCopies(_ index: Int) {
        network.removeAll { message in
            switch message {
            case .request(let client, _, let request): client == index && request.mustNotLinger
            case .forward(let client, _, let write):
                if case .group = write.place { client == index } else { false }
            default: false
            }
        }
    }

    /// The delivery timeout of a batch: it may come or not, the transaction has to be aborted.
    private func giveUp(_ index: Int) {
        guard let waiting = clients[index].waiting, waiting.request.isWrite else { return }
        note("client \(index) gives up")
        if !clients[index].isVersion2 {
            if waiting.request.mustNotLinger { forgetCopies(index) }
            clients[index].needsBump = true
        }
        clients[index].waiting = nil
        clients[index].mustAbort = true
    }

    func hear(_ index: Int, _ number: Int, _ response: SimulatedResponse) {
        guard clients[index].phase != .dead, let waiting = clients[index].waiting, waiting.number == number else { return }
        clients[index].waiting = nil
        if !clients[index].isVersion2 { forgetCopies(index) }
        switch response.code {
        case .concurrentTransactions, .coordinatorLoadInProgress, .notEnoughReplicas:
            clients[index].again = waiting.request
        case .producerFenced, .invalidProducerEpoch, .invalidProducerIDMapping:
            fenced += 1
            clients[index].phase = .dead
            if replacements[clients[index].transactionalID, default: 0] == clients[index].replacements {
                problems.append("client \(index) got \(response.code) for no reason, for \(waiting.request)")
            }
        case .none:
            succeed(index, waiting.request, response)
        default:
            fail(index, waiting.request, response.code)
        }
    }

    private func succeed(_ index: Int, _ request: SimulatedRequest, _ response: SimulatedResponse) {
        switch request {
        case .begin:
            adopt(index, response)
            clients[index].replacements = response.replacements
            clients[index].phase = .ready
        case .add(let place, _, _, _):
            clients[index].added.insert(place)
        case .write(let write, _, _):
            accounts[write.tag]?.written.insert(write.place)
        case .end(let request, let version):
            accounts[clients[index].tag]?.outcome = request.committed
            if request.committed { committed += 1 } else { aborted += 1 }
            if version >= 5 { adopt(index, response) }
            clients[index].finishTransaction()
        }
    }

    private func adopt(_ index: Int, _ response: SimulatedResponse) {
        let key = "\(response.producerID)/\(response.epoch)"
        if let holder = holders[key], holder != index { problems.append("\(key) was given to client \(index), but client \(holder) has it") }
        holders[key] = index
        clients[index].use(response.producerID, response.epoch)
    }

    private func fail(_ index: Int, _ request: SimulatedRequest, _ code: ErrorCode) {
        switch request {
        case .end(let request, _) where code == .invalidTxnState && !clients[index].isVersion2 && !request.committed:
            // Before version 2 there is nothing to abort where nothing was added.
            clients[index].finishTransaction()
        case .write where code == .invalidTxnState || code == .transactionAbortable:
            clients[index].mustAbort = true
            clients[index].needsBump = !clients[index].isVersion2
        default:
            problems.append("client \(index) of \(clients[index].transactionalID) got \(code) for \(request)")
            clients[index].phase = .dead
        }
    }
}
