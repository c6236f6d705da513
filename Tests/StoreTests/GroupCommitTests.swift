import Dispatch
import Glibc
import KafkaProtocol
import Synchronization
import Testing

@testable import Store

/// Outcomes gathered from the committer's thread.
final class Outcomes: Sendable {
    private let texts = Mutex<[String]>([])
    private let done = DispatchSemaphore(value: 0)
    private let expected: Int

    init(_ expected: Int) { self.expected = expected }

    func add(_ text: String) {
        texts.withLock { $0.append(text) }
        done.signal()
    }

    /// Waits for all of them.
    func all() throws -> [String] {
        for _ in 0..<expected {
            guard done.wait(timeout: .now() + .seconds(30)) == .success else { throw TestFailure("an outcome never came") }
        }
        return texts.withLock { $0 }
    }
}

@Suite struct GroupCommitTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A committer that nothing wakes but what is submitted, on a disk that is quick enough for lone callers whatever it is.
    private func soundSleeper() -> StoreOptions {
        var options = smallOptions()
        options.houseKeepingNs = 3_600_000_000_000
        options.idleNs = options.houseKeepingNs
        options.shortCommitNs = .max
        return options
    }

    /// While the committer is held in the delivery of one commit, as it is by a sync, others submit: they share the next.
    @Test func whatArrivesDuringACommitIsTheNextOne() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let before = store.statistics().commitCount
        let held = DispatchSemaphore(value: 0)
        let go = DispatchSemaphore(value: 0)
        let outcomes = Outcomes(51)
        store.submit([
            .append([try makeAppend(partition, makeBatch([[0]]))], lane: WaitingLane()) { _ in
                held.signal()
                go.wait()
                outcomes.add("held")
            }
        ])
        held.wait()
        for number in 1...50 {
            store.submit([
                .append([try makeAppend(partition, makeBatch([[UInt8(number)]]))], lane: WaitingLane()) {
                    outcomes.add("\(number) at \($0[0].baseOffset)")
                }
            ])
        }
        go.signal()
        #expect(try outcomes.all() == ["held"] + (1...50).map { "\($0) at \($0)" })
        #expect(store.statistics().commitCount == before + 2)
    }

    /// A commit takes few of the questions that the committer has to look long for: many do not hold up what others write.
    @Test func longQuestionsAreSpreadOverCommits() throws {
        var options = smallOptions()
        options.commitBytesMax = 4_096
        let store = try Store.open(directory: directory.path, options: options)
        let partition = try store.makeTopic("t").partitions[0]
        // Two questions about so many are more than a commit takes.
        for id in 0..<64 { _ = try store.append(makeBatch([[0]], producerID: Int64(id), epoch: 0, sequence: 0), to: partition) }
        let before = store.statistics().commitCount
        let outcomes = Outcomes(6)
        let question = { Submission.admin(.describeProducers(partition: partition.id), lane: WaitingLane()) { _ in outcomes.add("answer") } }
        let write = { (value: UInt8) in
            Submission.append([try makeAppend(partition, makeBatch([[value]]))], lane: WaitingLane()) { outcomes.add("\($0[0].baseOffset)") }
        }
        store.submit([try write(0), question(), question(), question(), question(), try write(1)])
        #expect(try outcomes.all() == ["64", "answer", "answer", "answer", "answer", "65"])
        #expect(store.statistics().commitCount == before + 2)
    }

    /// Wake-ups are not lost: each submission after a pause of the thread is answered.
    @Test func manyThreadsAreAllAnswered() throws {
        let store = try Store.open(directory: directory.path, options: soundSleeper())
        let partitions = try store.makeTopic("t", partitions: 4).partitions
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            do {
                for number in 0..<200 {
                    #expect(try store.append(makeBatch([[UInt8(number)]]), to: partitions[thread]).baseOffset == Int64(number))
                }
            } catch { Issue.record(error) }
        }
        #expect(partitions.map(\.highWatermark) == [200, 200, 200, 200])
    }

    /// Who submits alone and often commits on its own thread, is answered there, and finds it in a copy.
    @Test func aLoneSubmissionIsCommittedByItsCaller() throws {
        let store = try Store.open(directory: directory.path, options: soundSleeper())
        let partition = try store.makeTopic("t").partitions[0]
        let count = try store.appendUntilLone(partition)
        #expect(partition.highWatermark == Int64(count))
        let thread = Box<pthread_t>()
        store.submitLone(.append([try makeAppend(partition, makeBatch([[1]]))], lane: WaitingLane()) { _ in thread.value = pthread_self() })
        #expect(thread.value == pthread_self())
        let copy = directory.subdirectory("copy")
        try store.backup(to: copy)
        let copied = try Store.open(directory: copy, options: smallOptions())
        #expect(try copied.values(of: #require(copied.topic(named: "t")).partitions[0]).count == count + 1)
    }

    /// The writer goes from hand to hand, and nothing is lost, repeated or answered twice.
    @Test func callersAndTheThreadTakeTurns() throws {
        let store = try Store.open(directory: directory.path, options: soundSleeper())
        let partitions = try store.makeTopic("t", partitions: 4).partitions
        _ = try store.appendUntilLone(partitions[0])
        let before = partitions[0].highWatermark
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            do {
                let first = partitions[thread].highWatermark
                for number in 0..<400 {
                    let batch = try makeBatch([[UInt8(truncatingIfNeeded: number)]])
                    // Some submit alone always, some never, some by turns; the last goes on when the others are through.
                    let isLone = thread > 1 || thread == 1 && number % 2 == 0
                    #expect(try store.append(batch, to: partitions[thread], isLone: isLone).baseOffset == first + Int64(number))
                }
            } catch { Issue.record(error) }
        }
        #expect(partitions.map(\.highWatermark) == [before + 400, 400, 400, 400])
        for partition in partitions[1...] {
            let values = try store.values(of: partition)
            #expect((0..<400).allSatisfy { values[Int64($0)] == [UInt8(truncatingIfNeeded: $0)] })
        }
        _ = try store.appendUntilLone(partitions[0])
    }

    /// A lone caller's commit trims the journal by as much as any, and what it leaves is for the thread.
    @Test func theThreadIsCalledForWhatALoneCallerLeaves() throws {
        var options = soundSleeper()
        options.journalBytesMax = 60_000
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t", partitions: 3_000)
        // They are more than a journal of that size holds. What is in the last entry stays there as long as it is the last one.
        _ = try store.append(topic.partitions.map { try makeAppend($0, makeBatch([[1]])) })
        try awaitJournal(of: store) { $0.journalEntryCount == 1 }
        // The thread may be just about to sleep. This writes nothing.
        let before = store.statistics().loneSubmissionCount
        while store.statistics().loneSubmissionCount == before {
            let done = DispatchSemaphore(value: 0)
            store.submitLone(.groups([], lane: WaitingLane()) { _ in done.signal() })
            done.wait()
        }
        _ = try store.append(makeBatch([[2]]), to: topic.partitions[0], isLone: true)
        try #require(store.statistics().loneSubmissionCount == before + 2)
        try awaitJournal(of: store) { $0.journalByteCount < options.journalBytesMax }
    }

    private func awaitJournal(of store: Store, _ isAsWanted: (StoreStatistics) -> Bool) throws {
        let end = monotonicNs() + 20_000_000_000
        while !isAsWanted(store.statistics()) {
            guard monotonicNs() < end else { throw TestFailure("the journal is not trimmed: \(store.statistics())") }
            sched_yield()
        }
    }

    /// The store is looked after also while somebody alone writes without a pause, here with commits so long that the writer is hardly ever
    /// nobody's.
    @Test func theThreadHasItsTurnBesideALoneCaller() throws {
        var options = soundSleeper()
        options.houseKeepingNs = 100_000_000
        options.readerWarningMs = 1
        let told = DispatchSemaphore(value: 0)
        options.onEvent = { if $0.message.contains("has held one snapshot") { told.signal() } }
        let store = try Store.open(directory: directory.path, options: options)
        let partition = try store.makeTopic("t").partitions[0]
        let large = try makeAppend(partition, makeBatch([[UInt8](repeating: 1, count: 4 << 20)]))
        let loan = try store.lendReader()
        var (count, isTold) = (0, false)
        while !isTold, count < 400 {
            _ = try store.append([large], isLone: true)
            count += 1
            isTold = told.wait(timeout: .now()) == .success
        }
        withExtendedLifetime(loan) {}
        #expect(isTold)
        #expect(store.statistics().loneSubmissionCount > 0)
    }

    @Test func submissionsInFlightAtTheEndAreAnsweredOneWayOrTheOther() throws {
        let acknowledged = Mutex(0)
        try {
            let store = try Store.open(directory: directory.path, options: smallOptions())
            let partition = try store.makeTopic("t").partitions[0]
            let outcomes = Outcomes(400)
            DispatchQueue.concurrentPerform(iterations: 5) { thread in
                if thread == 4 {
                    store.close()
                    store.close()
                    return
                }
                for _ in 0..<100 {
                    do {
                        let append = try makeAppend(partition, makeBatch([[1]]))
                        let submission = Submission.append([append], lane: WaitingLane()) { results in
                            acknowledged.withLock { $0 += results[0].errorCode == .none ? 1 : 0 }
                            outcomes.add("")
                        }
                        if thread < 2 { store.submitLone(submission) } else { store.submit([submission]) }
                    } catch { Issue.record(error) }
                }
            }
            _ = try outcomes.all()
        }()
        let store = try Store.open(directory: directory.path, options: smallOptions())
        #expect(try #require(store.topic(named: "t")).partitions[0].highWatermark == Int64(acknowledged.withLock { $0 }))
    }

    /// The last one to hold a store may be the closure of a submission, which is let go of on the committer's thread.
    @Test func aStoreMayEndOnItsOwnThread() throws {
        let box = Box<Store>()
        box.value = try Store.open(directory: directory.path, options: smallOptions())
        _ = try box.value?.makeTopic("t")
        let may = DispatchSemaphore(value: 0)
        let ended = DispatchSemaphore(value: 0)
        if let store = box.value {
            store.submit([
                .admin(.allocateProducerIDs(count: 1), lane: WaitingLane()) { _ in
                    may.wait()
                    box.value = nil
                    ended.signal()
                }
            ])
        }
        may.signal()
        try #require(ended.wait(timeout: .now() + .seconds(10)) == .success)
        let again = try openOnceFree()
        #expect(again.statistics().journalEntryCount == 0)
        #expect(again.topic(named: "t") != nil)
    }

    /// A store that is closed by its own thread is given free, sealed, once that is through.
    private func openOnceFree() throws -> Store {
        let end = monotonicNs() + 10_000_000_000
        while true {
            do { return try Store.open(directory: directory.path, options: smallOptions()) } catch {
                guard monotonicNs() < end else { throw error }
            }
        }
    }

    /// Whoever commits alone may close the store with the answer in hand: the writer is not its own any more.
    @Test func aLoneCallerMayCloseTheStore() throws {
        let store = try Store.open(directory: directory.path, options: soundSleeper())
        let partition = try store.makeTopic("t").partitions[0]
        let count = try store.appendUntilLone(partition)
        let ended = DispatchSemaphore(value: 0)
        store.submitLone(
            .append([try makeAppend(partition, makeBatch([[1]]))], lane: WaitingLane()) { _ in
                store.close()
                ended.signal()
            })
        try #require(ended.wait(timeout: .now() + .seconds(10)) == .success)
        let again = try openOnceFree()
        #expect(try #require(again.topic(named: "t")).partitions[0].highWatermark == Int64(count + 1))
    }

    @Test func afterTheEndNothingIsTaken() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        _ = try store.append(makeBatch([[1]]), to: partition)
        store.close()
        #expect(try store.append(makeBatch([[2]]), to: partition).errorCode == .kafkaStorageError)
        #expect(try store.append(makeBatch([[2]]), to: partition, isLone: true).errorCode == .kafkaStorageError)
        #expect(try store.values(of: partition) == [0: [1]])
    }
}

extension Store {
    /// Appends single records to `partition` until one is committed on this thread, and returns how many that took.
    fileprivate func appendUntilLone(_ partition: Partition) throws -> Int {
        let (before, end) = (statistics().loneSubmissionCount, monotonicNs() + 30_000_000_000)
        var count = 0
        while statistics().loneSubmissionCount == before {
            guard monotonicNs() < end else { throw TestFailure("the committer's thread never slept, or the disk was never quick") }
            _ = try append(makeBatch([[1]]), to: partition, isLone: true)
            count += 1
        }
        return count
    }
}
