import KafkaProtocol
import Synchronization
import Testing

@testable import KafkaClient

/// What brokers of older releases would take for something else they are not asked.
@Suite(.timeLimit(.minutes(1)))
struct OlderBrokerTests {
    private static let partition = TopicPartition("topic", 0)

    private func withBroker(_ body: (ScriptedBroker, Cluster) async throws -> Void) async throws {
        let broker = try await ScriptedBroker.start()
        broker.lead(Self.partition.topic)
        let cluster = Cluster(bootstrap: [broker.address])
        try await body(broker, cluster)
        cluster.close()
        await broker.stop()
    }

    private func isUnsupported(_ error: ClientError?) -> Bool { if case .unsupported(_)? = error { true } else { false } }

    /// They know nothing of members in transactions (KIP-447), and would let anybody commit.
    @Test(arguments: [2, 3] as [Int16])
    func offsetsInATransactionAreNotCommittedUnfenced(newest: Int16) async throws {
        try await withBroker { broker, cluster in
            let address = broker.address
            broker.when(FindCoordinatorRequest.self, versions: 0...3) { _, _ in
                (FindCoordinatorResponse { ($0.host, $0.port) = (address.host, Int32(address.port)) }, [])
            }
            broker.when(TxnOffsetCommitRequest.self, versions: 0...newest) { _, _ in (TxnOffsetCommitResponse(), []) }
            let member = GroupConsumer(cluster, group: "group")
            member.state.withLock { $0.identity = GroupMembership.Identity(memberID: "member", generation: 1) }
            func commit() async throws(ClientError) {
                let producer = ProducerIdentity(id: 1, epoch: 0)
                try await member.commit([Self.partition: OffsetPosition(offset: 1)], transactionalID: "id", producer: producer, isVersion2: false)
            }
            if newest < 3 {
                let error = await #expect(throws: ClientError.self) { try await commit() }
                #expect(isUnsupported(error), "\(String(describing: error))")
                #expect(broker.counts.value[.txnOffsetCommit] == nil)
            } else {
                try await commit()
                #expect(broker.counts.value[.txnOffsetCommit] == 1)
            }
        }
    }

    /// They would look for a record of the year 1969 (KIP-734).
    @Test func theGreatestTimestampIsNotTakenForATime() async throws {
        try await withBroker { broker, cluster in
            func speak(_ newest: Int16) {
                broker.when(ListOffsetsRequest.self, versions: 1...newest) { _, _ in
                    let response = ListOffsetsResponse {
                        $0.topics = [
                            ListOffsetsResponse.Topic {
                                $0.name = Self.partition.topic
                                $0.partitions = [ListOffsetsResponse.Partition { $0.offset = 5 }]
                            }
                        ]
                    }
                    return (response, [])
                }
            }
            speak(6)
            let error = await #expect(throws: ClientError.self) { try await Admin(cluster).offsets([Self.partition: .maxTimestamp]) }
            #expect(isUnsupported(error), "\(String(describing: error))")
            #expect(broker.counts.value[.listOffsets] == nil)
            let byTime = try await Admin(cluster).offsets([Self.partition: .timestamp(0)])
            #expect(byTime == [Self.partition: 5])
            speak(7)
            let fresh = Cluster(bootstrap: [broker.address])
            let greatest = try await Admin(fresh).offsets([Self.partition: .maxTimestamp])
            #expect(greatest == [Self.partition: 5])
            fresh.close()
        }
    }
}
