internal import HeapModule
internal import NIOCore
internal import Store

/// The fetches of one event loop that wait for records: found by partition when a commit is delivered, by time when
/// they have waited long enough, by connection when it is gone. On the loop only.
final class ParkedFetches {
    private struct Watch {
        var fetch: WaitingFetch
        var target: Int
    }

    /// Nearly every partition has one fetch waiting for it, which then needs no dictionary.
    private struct Watches {
        var first: Watch?
        /// By the fetch's number.
        var others: [Int: Watch] = [:]
    }

    private struct Deadline: Comparable {
        var time: NIODeadline
        var number: Int
        static func < (left: Deadline, right: Deadline) -> Bool {
            left.time == right.time ? left.number < right.number : left.time < right.time
        }
    }

    private let loop: any EventLoop
    private var fetches: [Int: WaitingFetch] = [:]
    private var watches: [PartitionID: Watches] = [:]
    private var numbersByConnection: [ConnectionID: [Int]] = [:]
    /// Those of answered fetches stay until their time comes or they are the majority.
    private var deadlines = Heap<Deadline>()
    private var timer: (task: Scheduled<Void>, time: NIODeadline)?
    private var lastNumber = 0

    init(loop: any EventLoop) { self.loop = loop }

    var count: Int { fetches.count }
    /// Partitions that are watched.
    var watchedCount: Int { watches.count }

    /// Keeps `fetch` until it is satisfied, its time is up or its connection is gone.
    func park(_ fetch: WaitingFetch) {
        lastNumber += 1
        fetch.number = lastNumber
        fetches[lastNumber] = fetch
        numbersByConnection[fetch.connection, default: []].append(lastNumber)
        fetch.forEachWatched { target, partition in watch(partition, Watch(fetch: fetch, target: target)) }
        deadlines.insert(Deadline(time: fetch.deadline, number: lastNumber))
        arm()
        fetch.beginWait()
        fetch.lane.watch(true)
        // A commit before this moment did not see the lane watching, so its records are looked for here.
        if fetch.survey() { complete(fetch) }
    }

    /// Answers the fetches that the growth of `changed` satisfies.
    func wake(_ changed: [PartitionID]) {
        guard !fetches.isEmpty else { return }
        var satisfied: [WaitingFetch] = []
        for partition in changed {
            guard let watches = watches[partition] else { continue }
            if let watch = watches.first, watch.fetch.survey(watch.target) { satisfied.append(watch.fetch) }
            for watch in watches.others.values where watch.fetch.survey(watch.target) { satisfied.append(watch.fetch) }
        }
        for fetch in satisfied { complete(fetch) }
    }

    func completeAll() {
        for fetch in Array(fetches.values) { complete(fetch) }
    }

    /// Frees what a connection that is gone has parked.
    func abandon(_ connection: ConnectionID) {
        for number in numbersByConnection[connection] ?? [] {
            guard let fetch = fetches[number] else { continue }
            remove(fetch)
            fetch.abandon()
        }
    }

    /// A fetch may be satisfied by several partitions of one commit; the first completes it.
    private func complete(_ fetch: WaitingFetch) {
        guard fetches[fetch.number] != nil else { return }
        remove(fetch)
        fetch.answer()
    }

    private func remove(_ fetch: WaitingFetch) {
        fetches[fetch.number] = nil
        numbersByConnection[fetch.connection]?.removeAll { $0 == fetch.number }
        if numbersByConnection[fetch.connection]?.isEmpty == true { numbersByConnection[fetch.connection] = nil }
        fetch.forEachWatched { _, partition in unwatch(partition, fetch) }
        if fetches.isEmpty { fetch.lane.watch(false) }
    }

    private func watch(_ partition: PartitionID, _ watch: Watch) {
        if watches[partition] == nil { watches[partition] = Watches(first: watch) } else { watches[partition]?.others[watch.fetch.number] = watch }
    }

    private func unwatch(_ partition: PartitionID, _ fetch: WaitingFetch) {
        guard var left = watches.removeValue(forKey: partition) else { return }
        if left.first?.fetch === fetch { left.first = nil } else { left.others[fetch.number] = nil }
        if left.first != nil || !left.others.isEmpty { watches[partition] = left }
    }

    // MARK: Time

    private func arm() {
        if deadlines.count > 2 * fetches.count + 64 {
            deadlines = Heap(fetches.values.map { Deadline(time: $0.deadline, number: $0.number) })
        }
        guard let next = deadlines.min else { return }
        if let timer, timer.time <= next.time { return }
        timer?.task.cancel()
        timer = (loop.assumeIsolated().scheduleTask(deadline: next.time) { self.expire() }, next.time)
    }

    private func expire() {
        timer = nil
        let now = NIODeadline.now()
        while let next = deadlines.min, next.time <= now {
            deadlines.removeMin()
            if let fetch = fetches[next.number] { complete(fetch) }
        }
        arm()
    }
}
