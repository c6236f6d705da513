import KafkaProtocol
import Testing

@testable import Coordinators

/// What may come into a transaction, and by which requests.
@Suite struct TransactionAddingTests {
    @Test func partitionsAndGroupsBeginATransactionAndAreInTheRow() {
        var harness = TransactionHarness()
        harness.begin()
        #expect(harness.addPartitions("t", [("t", [3, 4]), ("t", [4])]) == [.none, .none, .none])
        #expect(harness.addOffsets("g") == .none)
        let row = harness.rows["t"]
        #expect((row?.isOpen, row?.partitions, row?.groupIDs) == (true, [3, 4], ["g"]))
        #expect(harness.state() == "Ongoing")
    }

    @Test func whatIsInAlreadyWritesNothing() {
        var harness = TransactionHarness()
        harness.begin()
        harness.addPartitions()
        #expect(harness.addPartitions() == [.none])
        #expect(harness.effects.isEmpty)
        #expect(harness.produce() == .none)
        #expect(harness.effects.isEmpty)
        harness.commitOffsets()
        #expect(harness.commitOffsets() == .none)
        #expect(harness.effects.isEmpty)
    }

    @Test func anUnknownPartitionKeepsTheOthersOut() {
        var harness = TransactionHarness()
        harness.begin()
        #expect(harness.addPartitions("t", [("t", [1, 100]), ("u", [1])]) == [.operationNotAttempted, .unknownTopicOrPartition, .unknownTopicOrPartition])
        #expect(harness.effects.isEmpty)
        #expect(harness.state() == "Empty")
    }

    @Test func strangersAndZombiesAddNothing() {
        var harness = TransactionHarness()
        harness.begin()
        harness.begin()
        #expect(harness.addPartitions("unknown", epoch: 1) == [.invalidProducerIDMapping])
        #expect(harness.addPartitions("", epoch: 1) == [.invalidRequest])
        #expect(harness.addPartitions(producerID: 99, epoch: 1) == [.invalidProducerIDMapping])
        #expect(harness.addPartitions(epoch: 0, version: 2) == [.producerFenced])
        #expect(harness.addPartitions(epoch: 0, version: 1) == [.invalidProducerEpoch])
        #expect(harness.addPartitions(epoch: 2) == [.producerFenced])
        #expect(harness.addOffsets(epoch: 0, version: 2) == .producerFenced)
        #expect(harness.addOffsets(epoch: 0, version: 1) == .invalidProducerEpoch)
        #expect(harness.addOffsets("", epoch: 1) == .invalidGroupID)
        #expect(harness.produce(epoch: 0) == .invalidProducerEpoch)
        #expect(harness.produce(epoch: 0, version: 11) == .invalidProducerEpoch)
        #expect(harness.produce(nil, epoch: 1) == .transactionalIDAuthorizationFailed)
        #expect(harness.commitOffsets(epoch: 0) == .invalidProducerEpoch)
        #expect(harness.state() == "Empty")
    }

    @Test func withTransactionVersion2BatchesAndOffsetsAddByThemselves() {
        var harness = TransactionHarness()
        harness.begin()
        #expect(harness.produce("t", [5]) == .none)
        #expect(harness.rows["t"]?.partitions == [5])
        #expect(harness.rows["t"]?.isOpen == true)
        #expect(harness.commitOffsets("g") == .none)
        #expect(harness.rows["t"]?.groupIDs == ["g"])
    }

    @Test func olderClientsHaveToAddFirst() {
        var harness = TransactionHarness()
        harness.begin()
        #expect(harness.produce(version: 11) == .transactionAbortable)
        #expect(harness.produce(version: 10) == .invalidTxnState)
        #expect(harness.commitOffsets(version: 4) == .transactionAbortable)
        #expect(harness.commitOffsets(version: 3) == .invalidTxnState)
        #expect(harness.effects.isEmpty)
        harness.addPartitions()
        harness.addOffsets()
        for version in [Int16(3), 10, 11] { #expect(harness.produce(version: version) == .none) }
        #expect(harness.produce("t", [2], version: 10) == .invalidTxnState)
        #expect(harness.commitOffsets(version: 0) == .none)
        #expect(harness.commitOffsets("h", version: 0) == .invalidTxnState)
    }

    @Test func aBatchThatComesAfterItsTransactionEndedIsRefusedToOlderClientsToo() {
        var harness = TransactionHarness()
        harness.begin()
        harness.addPartitions()
        harness.end(version: 3)
        #expect(harness.produce(version: 9) == .invalidTxnState)
        #expect(harness.commitOffsets(version: 3) == .invalidTxnState)
    }

    @Test func brokersAddAndVerifyForSeveralTransactions() {
        var harness = TransactionHarness()
        harness.begin("a")
        harness.begin("b")
        func transaction(_ id: String, _ producerID: Int64, verifyOnly: Bool, _ partitions: [Int32]) -> AddPartitionsToTxnRequest.Transaction {
            AddPartitionsToTxnRequest.Transaction {
                $0.transactionalID = id
                $0.producerID = producerID
                $0.producerEpoch = 0
                $0.verifyOnly = verifyOnly
                $0.topics = [
                    AddPartitionsToTxnRequest.Topic {
                        $0.name = "t"
                        $0.partitions = partitions
                    }
                ]
            }
        }
        func codes(_ transactions: [AddPartitionsToTxnRequest.Transaction]) -> [[ErrorCode]] {
            let request = AddPartitionsToTxnRequest { $0.transactions = transactions }
            let (response, effects) = harness.coordinator.addPartitions(request, version: 5, at: harness.now, resolve: TransactionHarness.resolve)
            harness.apply(effects)
            return response.resultsByTransaction.map { $0.topicResults.flatMap { $0.resultsByPartition.map(\.partitionErrorCode) } }
        }
        let added = codes([transaction("a", 100, verifyOnly: false, [1, 2]), transaction("b", 101, verifyOnly: true, [1])])
        #expect(added == [[.none, .none], [.transactionAbortable]])
        #expect(harness.effects.steps.map(\.transactionalID) == ["a"])
        let asked = codes([transaction("a", 100, verifyOnly: true, [2, 3]), transaction("c", 101, verifyOnly: true, [1])])
        #expect(asked == [[.none, .transactionAbortable], [.invalidProducerIDMapping]])
        #expect(harness.effects.isEmpty)
    }

    @Test func aTransactionHasLimits() {
        var harness = TransactionHarness {
            $0.partitionsMax = 3
            $0.groupsMax = 1
            $0.addedMax = 5
        }
        harness.begin()
        #expect(harness.produce("t", [1, 2, 3, 4]) == .policyViolation)
        #expect(harness.state() == "Empty")
        #expect(harness.produce("t", [1, 2, 3, 3]) == .none)
        #expect(harness.produce("t", [3]) == .none)
        #expect(harness.produce("t", [4]) == .policyViolation)
        #expect(harness.commitOffsets("g") == .none)
        #expect(harness.commitOffsets("h") == .policyViolation)
        harness.begin("other")
        #expect(harness.produce("other", [1, 2], producerID: 101) == .policyViolation)
        #expect(harness.produce("other", [1], producerID: 101) == .none)
        harness.end()
        #expect(harness.produce("other", [2, 3], producerID: 101) == .none)
    }
}
