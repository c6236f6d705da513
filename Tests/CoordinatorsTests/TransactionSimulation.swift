import KafkaProtocol

@testable import Coordinators

/// A broker with its store, a second store on the other side of a network, and producers that share transactional ids.
/// Messages are lost, delayed, doubled and overtaken; both sides crash between any two commits; time jumps. What the
/// clients meant is compared with what stands in the stores at the end.
final class TransactionSimulation {
    enum Message {
        case request(client: Int, number: Int, SimulatedRequest)
        case response(client: Int, number: Int, SimulatedResponse)
        /// A write that was admitted, on its way to the other store.
        case forward(client: Int, number: Int, SimulatedWrite)
        case delivery(TransactionDelivery)
        case acknowledgement(TransactionDelivery)
    }

    /// What a client asked for and was told of one transaction.
    struct Account {
        var commitRequested = false
        var written: Set<TransactionPlace> = []
        var outcome: Bool?
    }

    var random: RandomSource
    var now = Moment(monotonicMs: 0, wallClockMs: 1_700_000_000_000)
    var coordinator: TransactionCoordinator
    var stores: [SimulatedTransactionStore]
    var network: [Message] = []
    var clients: [SimulatedProducer] = []
    var accounts: [TransactionTag: Account] = [:]
    var holders: [String: Int] = [:]
    /// How often each id's holder was given a reason to be fenced: by another incarnation, by time, from outside.
    var replacements: [String: Int] = [:]
    var nextProducerID: Int64 = 1
    var nextNumber = 0
    var problems: [String] = []
    var isDraining = false
    /// Of writes. An answer that was decided before one and would leave after it does not leave.
    var failures = 0
    var trace: [String]?
    let storeCount: Int
    /// How often something happened that the test should not pass without.
    var committed = 0, aborted = 0, fenced = 0

    init(seed: UInt64, isTracing: Bool = false) {
        random = .seeded(seed)
        trace = isTracing ? [] : nil
        storeCount = Int.random(in: 1...2, using: &random)
        stores = (0..<2).map { SimulatedTransactionStore(number: Int32($0)) }
        coordinator = TransactionCoordinator(options: Self.options)
        if chance(15) { nearlyExhaust("a") }
        restart()
        for _ in 0..<Int.random(in: 2...4, using: &random) { spawn() }
    }

    static var options: TransactionOptions {
        var options = TransactionOptions()
        options.idExpirationMs = 500_000
        return options
    }

    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    func note(_ text: @autoclosure () -> String) { trace?.append("\(now.monotonicMs) \(text())") }

    func spawn() {
        let id = chance(70) ? "a" : "b"
        clients.append(SimulatedProducer(index: clients.count, transactionalID: id, isVersion2: chance(75)))
    }

    private func nearlyExhaust(_ transactionalID: String) {
        var producer = TransactionalProducer(producerID: nextProducerID, timeoutMs: 60_000, changedMs: now.wallClockMs)
        producer.epoch = Int16.max - Int16.random(in: 1...5, using: &random)
        nextProducerID += 1
        stores[0].rows[transactionalID] = producer.row
    }

    // MARK: Running

    func run(steps: Int) {
        for _ in 0..<steps {
            if !problems.isEmpty { break }
            step()
        }
        drain()
    }

    private func step() {
        if clients.allSatisfy({ $0.phase == .dead }) { spawn() }
        switch Int.random(in: 0..<2_000, using: &random) {
        case ..<620: act(Int.random(in: clients.indices, using: &random))
        case ..<1_500: deliverOne()
        case ..<1_920: commit(Int.random(in: 0..<storeCount, using: &random))
        case ..<1_976: pass(Int64.random(in: 0..<500, using: &random))
        case ..<1_981: pass(Int64.random(in: 500..<70_000, using: &random))
        case ..<1_982: pass(600_000)
        case ..<1_987: crash()
        case ..<1_991: if storeCount > 1 { crashOther() }
        case ..<1_995: failWrite()
        case ..<1_997: abortFromOutside()
        default: spawn()
        }
    }

    /// No more faults, and no more requests: what is under way comes to its end.
    private func drain() {
        isDraining = true
        for round in 0..<200 {
            while !network.isEmpty { deliverOne() }
            for store in 0..<storeCount { commit(store) }
            pass(5_000)
            if round > 20, network.isEmpty, stores.allSatisfy({ $0.queue.isEmpty }), coordinator.addedCount == 0 { break }
        }
        check()
    }

    func commit(_ store: Int) {
        note("store \(store) commits \(stores[store].queue.count)")
        for done in stores[store].commit() { done() }
    }

    private func pass(_ milliseconds: Int64) {
        now.monotonicMs += milliseconds
        now.wallClockMs += milliseconds
        for effects in coordinator.advance(to: now) {
            note("time: \(effects)")
            for step in effects.steps { replacements[step.transactionalID, default: 0] += 1 }
            submit(effects) {}
        }
    }

    private func crash() {
        note("crash")
        stores[0].queue = []
        restart()
    }

    /// A new coordinator from what is durable; its clock begins anew.
    func restart() {
        coordinator = TransactionCoordinator(options: Self.options)
        coordinator.supply(producerIDs: nextProducerID..<(nextProducerID + 3))
        nextProducerID += 3
        now.monotonicMs = Int64.random(in: 0..<1_000, using: &random)
        for (transactionalID, row) in stores[0].rows {
            do { try coordinator.load(transactionalID, row, at: now) } catch { problems.append("\(error)") }
        }
    }

    private func failWrite() {
        guard !stores[0].queue.isEmpty else { return }
        let lost = stores[0].fail(Int.random(in: 1...stores[0].queue.count, using: &random))
        note("a write fails: \(lost)")
        failures += 1
        for transactionalID in lost.sorted() {
            coordinator.unload(transactionalID)
            guard let row = stores[0].rows[transactionalID] else { continue }
            do { try coordinator.load(transactionalID, row, at: now) } catch { problems.append("\(error)") }
        }
    }

    private func crashOther() {
        note("the other store crashes")
        stores[1].queue = []
    }

    private func abortFromOutside() {
        guard let row = stores[0].rows.values.min(by: { $0.producerID < $1.producerID }), let partition = row.partitions.first else { return }
        let admission = coordinator.admitMarkers(
            producerID: row.producerID, producerEpoch: row.producerEpoch, isCommit: false, partitions: [TransactionPartition(id: partition)], at: now)
        if case .abort(let effects) = admission {
            note("abort from outside: \(effects)")
            for step in effects.steps { replacements[step.transactionalID, default: 0] += 1 }
            submit(effects) {}
        }
    }
}
