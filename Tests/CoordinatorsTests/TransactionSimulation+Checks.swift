import KafkaProtocol

@testable import Coordinators

/// What has to hold, whatever happened.
extension TransactionSimulation {
    func check() {
        problems += stores.flatMap(\.problems)
        checkNothingIsLeftOpen()
        var tags: [TransactionEndID: Set<TransactionTag>] = [:]
        for (tag, account) in accounts {
            let places = stores.reduce(into: [TransactionPlace: Set<TransactionFate>]()) { all, store in
                all.merge(store.fates[tag] ?? [:]) { $0.union($1) }
            }
            let fates = places.values.reduce(into: Set<TransactionFate>()) { $0.formUnion($1) }
            for fate in fates { tags[fate.end, default: []].insert(tag) }
            if fates.count > 1 { problems.append("\(tag) is torn: \(places)") }
            if fates.contains(where: \.isCommit), !account.commitRequested { problems.append("\(tag) was committed, but nobody asked for it") }
            for place in account.written where places[place] == nil { problems.append("\(tag): what was acknowledged in \(place) is lost") }
            if let outcome = account.outcome, fates.contains(where: { $0.isCommit != outcome }) {
                problems.append("\(tag): acknowledged as \(outcome ? "committed" : "aborted"), but \(places)")
            }
        }
        for (end, ended) in tags where ended.count > 1 { problems.append("\(end) ended \(ended)") }
    }

    private func checkNothingIsLeftOpen() {
        for store in stores {
            for (transactionalID, row) in store.rows where row.isOpen { problems.append("store \(store.number): \(transactionalID) hangs: \(row)") }
            for tag in store.openTags { problems.append("store \(store.number): \(tag) has no end") }
        }
        if coordinator.addedCount != 0 { problems.append("\(coordinator.addedCount) partitions and groups are still counted") }
        for (transactionalID, producer) in coordinator.producers {
            if producer.phase.isOpen { problems.append("\(transactionalID) is still \(producer.phase.name)") }
            if producer.row != stores[0].rows[transactionalID.text] { problems.append("\(transactionalID): \(producer) is not what is durable") }
        }
    }
}
