import KafkaProtocol
import Testing

@testable import Coordinators

/// DescribeTransactions and ListTransactions.
@Suite struct TransactionListingTests {
    private func list(_ harness: TransactionHarness, states: [String] = [], producerIDs: [Int64] = [], duration: Int64 = -1) -> ListTransactionsResponse {
        let request = ListTransactionsRequest {
            $0.stateFilters = states
            $0.producerIDFilters = producerIDs
            $0.durationFilter = duration
        }
        return harness.coordinator.list(request, at: harness.now)
    }

    private func harness() -> TransactionHarness {
        var harness = TransactionHarness()
        harness.begin("empty")
        harness.begin("open")
        harness.produce("open", [2, 1], producerID: 101)
        harness.pass(5_000)
        harness.begin("later")
        harness.produce("later", [1], producerID: 102)
        harness.begin("done")
        harness.produce("done", [1], producerID: 103)
        harness.end("done", producerID: 103)
        harness.pass(1_000)
        return harness
    }

    @Test func allAreListedWithTheirStates() {
        let listed = list(harness())
        #expect(listed.transactionStates.map(\.transactionalID) == ["done", "empty", "later", "open"])
        #expect(listed.transactionStates.map(\.transactionState) == ["CompleteCommit", "Empty", "Ongoing", "Ongoing"])
        #expect(listed.transactionStates.map(\.producerID) == [103, 100, 102, 101])
        #expect(listed.unknownStateFilters.isEmpty)
    }

    @Test func filtersNarrowTheList() {
        let harness = harness()
        func ids(_ response: ListTransactionsResponse) -> [String] { response.transactionStates.map(\.transactionalID) }
        #expect(ids(list(harness, states: ["Ongoing"])) == ["later", "open"])
        #expect(ids(list(harness, states: ["Empty", "CompleteCommit"])) == ["done", "empty"])
        #expect(ids(list(harness, producerIDs: [101, 103, 7])) == ["done", "open"])
        #expect(ids(list(harness, states: ["Ongoing"], producerIDs: [103])) == [])
        #expect(ids(list(harness, duration: 0)) == ["later", "open"])
        #expect(ids(list(harness, duration: 1_000)) == ["open"])
        #expect(ids(list(harness, duration: 6_000)) == [])
    }

    @Test func statesThatNobodyKnowsAreNamed() {
        let listed = list(harness(), states: ["ongoing", "Nonsense", "Dead", "Nonsense", "PrepareEpochFence"])
        #expect(listed.unknownStateFilters == ["ongoing", "Nonsense"])
        #expect(listed.transactionStates.isEmpty)
    }

    /// Who sees an end here may read what it made visible: nobody is told of it before it is on disk.
    @Test func anEndOnItsWayToTheDiskIsNotCompleteYet() {
        var harness = harness()
        harness.end("open", commit: false, producerID: 101)
        func told(_ ending: Set<ExactString>) -> [String] {
            let request = DescribeTransactionsRequest { $0.transactionalIDs = ["done", "empty", "open", "later"] }
            return harness.coordinator.describe(request, ending: ending).answer { _ in nil }.transactionStates.map(\.transactionState)
        }
        #expect(told(Set(exact: ["done", "empty", "open"])) == ["PrepareCommit", "Empty", "PrepareAbort", "Ongoing"])
        #expect(told([]) == ["CompleteCommit", "Empty", "CompleteAbort", "Ongoing"])
        let prepared = ListTransactionsRequest { $0.stateFilters = ["PrepareAbort"] }
        #expect(harness.coordinator.list(prepared, ending: Set(exact: ["open"]), at: harness.now).transactionStates.map(\.transactionalID) == ["open"])
        #expect(harness.coordinator.list(prepared, at: harness.now).transactionStates.isEmpty)
    }

    @Test func aTransactionIsDescribedWithItsPartitions() {
        let harness = harness()
        let request = DescribeTransactionsRequest { $0.transactionalIDs = ["open", "empty", "nobody", "", "open"] }
        let described = harness.coordinator.describe(request).answer { $0.id == 9 ? nil : ("topic", Int32($0.id)) }.transactionStates
        #expect(described.map(\.transactionalID) == ["open", "empty", "nobody", ""])
        #expect(described.map(\.errorCode) == [.none, .none, .transactionalIDNotFound, .invalidRequest])
        #expect((described[0].transactionState, described[0].producerID, described[0].producerEpoch) == ("Ongoing", 101, 0))
        #expect(described[0].transactionStartTimeMs == harness.now.wallClockMs - 6_000)
        #expect(described[0].transactionTimeoutMs == 60_000)
        #expect(described[0].topics.map(\.topic) == ["topic"])
        #expect(described[0].topics.map(\.partitions) == [[1, 2]])
        #expect((described[1].transactionState, described[1].transactionStartTimeMs) == ("Empty", -1))
        #expect(described[1].topics.isEmpty)
    }

    @Test func partitionsOfTopicsThatAreGoneAreLeftOut() {
        let harness = harness()
        let request = DescribeTransactionsRequest { $0.transactionalIDs = ["open"] }
        let described = harness.coordinator.describe(request).answer { $0.id == 1 ? nil : ("topic", Int32($0.id)) }
        #expect(described.transactionStates[0].topics.map(\.partitions) == [[2]])
    }
}
