import KafkaProtocol
import Store
import Testing

@testable import Broker

@Suite struct ClusterHandlerTests {
    @Test(arguments: Array(DescribeClusterRequest.versions))
    func theClusterIsThisBroker(_ version: Int16) async throws {
        try await TestBroker.with(["node.id=7", "broker.rack=east"]) { broker in
            var request = DescribeClusterRequest()
            request.includeClusterAuthorizedOperations = true
            let response = try broker.connect().ask(request, version: version)
            #expect(response.clusterID == broker.store.clusterID && response.controllerID == 7)
            #expect(response.brokers.map(\.brokerID) == [7] && response.brokers.map(\.port) == [Int32(broker.port)])
            #expect(response.brokers[0].rack == "east")
            #expect(response.clusterAuthorizedOperations == 8096)
        }
    }

    @Test func thereIsNoControllerEndpoint() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            var request = DescribeClusterRequest()
            request.endpointType = 2
            #expect(try client.ask(request).errorCode == .mismatchedEndpointType)
            request.endpointType = 5
            #expect(try client.ask(request).errorCode == .unsupportedEndpointType)
        }
    }

    @Test func topicPartitionsComePageByPage() async throws {
        try await TestBroker.with { broker in
            for (name, count) in [("a", 3), ("b", 1), ("c", 4)] { try await broker.createTopic(name, partitions: count) }
            let client = try broker.connect()
            var request = DescribeTopicPartitionsRequest()
            request.responsePartitionLimit = 2
            var seen: [String] = []
            var pageCount = 0
            repeat {
                let response = try client.ask(request)
                pageCount += 1
                let page = response.topics.flatMap { topic in topic.partitions.map { "\(topic.name ?? "?")\($0.partitionIndex)" } }
                #expect(page.count <= 2 && !page.isEmpty)
                seen += page
                request.cursor = response.nextCursor.map { next in
                    var cursor = DescribeTopicPartitionsRequest.Cursor()
                    cursor.topicName = next.topicName
                    cursor.partitionIndex = next.partitionIndex
                    return cursor
                }
            } while request.cursor != nil && pageCount < 20
            #expect(seen == ["a0", "a1", "a2", "b0", "c0", "c1", "c2", "c3"])
            #expect(pageCount == 4)
        }
    }

    /// No limit is one that no memory is set aside for.
    @Test func thePageMayBeAsLongAsThereIsANumberFor() async throws {
        try await TestBroker.with(["max.request.partition.size.limit=2147483647"]) { broker in
            try await broker.createTopic("a", partitions: 3)
            #expect(try broker.connect().ask(DescribeTopicPartitionsRequest()).topics.map(\.partitions.count) == [3])
        }
    }

    /// A frame has room for a million mentions of a partition, and what is said of each may be long.
    @Test func aPartitionIsAnsweredOnceHoweverOftenItIsNamed() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("t", partitions: 2)
            let client = try broker.connect()
            let directories = try client.ask(
                DescribeLogDirsRequest {
                    $0.topics = [[0, 0, 1], [1, 0]].map { indexes in
                        DescribeLogDirsRequest.Topic { ($0.topic, $0.partitions) = ("t", indexes) }
                    }
                })
            #expect(directories.results[0].topics.map { $0.partitions.map(\.partitionIndex) } == [[0, 1], []])
            let producers = try client.ask(
                DescribeProducersRequest {
                    $0.topics = [DescribeProducersRequest.Topic { ($0.name, $0.partitionIndexes) = ("t", [1, 1, 9, 1, 9]) }]
                })
            #expect(producers.topics[0].partitions.map(\.partitionIndex) == [1, 9])
            let markers = try client.ask(
                WriteTxnMarkersRequest {
                    $0.markers = [
                        WriteTxnMarkersRequest.Marker {
                            $0.producerID = 5
                            $0.topics = [WriteTxnMarkersRequest.Topic { ($0.name, $0.partitionIndexes) = ("t", [0, 0, 0]) }]
                        }
                    ]
                })
            #expect(markers.markers[0].topics[0].partitions.count == 1)
            #expect(topic.partitions[0].highWatermark == 1)
            let added = try client.ask(
                AddPartitionsToTxnRequest {
                    $0.transactions = [
                        AddPartitionsToTxnRequest.Transaction {
                            $0.transactionalID = "x"
                            $0.topics = [[0, 0, 1], [1]].map { indexes in
                                AddPartitionsToTxnRequest.Topic { ($0.name, $0.partitions) = ("t", indexes) }
                            }
                        }
                    ]
                })
            #expect(added.resultsByTransaction[0].topicResults.map { $0.resultsByPartition.map(\.partitionIndex) } == [[0, 1], []])
            #expect(try client.ask(FindCoordinatorRequest { $0.coordinatorKeys = ["a", "b", "a"] }).coordinators.map(\.key) == ["a", "b"])
            let offsets = try client.ask(
                OffsetFetchRequest {
                    $0.groups = [
                        OffsetFetchRequest.Group {
                            $0.groupID = "g"
                            $0.topics = [OffsetFetchRequest.GroupTopic { ($0.name, $0.partitionIndexes) = ("t", [1, 0, 1]) }]
                        }
                    ]
                })
            #expect(offsets.groups[0].topics[0].partitions.map(\.partitionIndex) == [1, 0])
        }
    }

    @Test func namedTopicsComeSortedAndMissingOnesAreSaidToBe() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("b")
            var request = DescribeTopicPartitionsRequest()
            request.topics = ["z", "b", "a b", "b"].map { name in
                var topic = DescribeTopicPartitionsRequest.Topic()
                topic.name = name
                return topic
            }
            let response = try broker.connect().ask(request)
            #expect(response.topics.map(\.name) == ["a b", "b", "z"])
            #expect(response.topics.map(\.errorCode) == [.invalidTopicException, .none, .unknownTopicOrPartition])
            #expect(response.nextCursor == nil)
        }
    }

    @Test(arguments: Array(DescribeLogDirsRequest.versions))
    func theOneDirectoryIsDescribedWithSizes(_ version: Int16) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("t", partitions: 2)
            try await broker.append(Array(repeating: 7, count: 1000), to: topic.partitions[1], timestamp: 5)
            var request = DescribeLogDirsRequest()
            request.topics = nil
            let results = try broker.connect().ask(request, version: version).results
            #expect(results.count == 1 && results[0].errorCode == .none)
            #expect(results[0].logDir.hasSuffix(broker.configuration.current.dataDirectory))
            #expect(results[0].topics.map(\.name) == ["t"])
            let sizes = results[0].topics[0].partitions.map(\.partitionSize)
            #expect(sizes[0] == 0 && (1000...1200).contains(sizes[1]))
            if version >= 4 { #expect(results[0].totalBytes > results[0].usableBytes && results[0].usableBytes > 0) }

            var one = DescribeLogDirsRequest.Topic()
            one.topic = "t"
            one.partitions = [1, 5]
            var missing = DescribeLogDirsRequest.Topic()
            missing.topic = "none"
            request.topics = [one, missing]
            let some = try broker.connect().ask(request, version: version).results[0].topics
            #expect(some.map(\.name) == ["t"] && some[0].partitions.map(\.partitionIndex) == [1])
        }
    }
}

@Suite struct RetentionTests {
    /// As many bytes as make a batch an extent of its own, so that retention can let go of each.
    private let large = [UInt8](repeating: 1, count: 100_000)

    @Test func recordsPastTheirTimeGoAndOthersStay() async throws {
        try await TestBroker.with { broker in
            let brief = try await broker.createTopic("brief", configs: ["retention.ms": "1000"])
            let kept = try await broker.createTopic("kept", configs: ["retention.ms": "-1"])
            let compacted = try await broker.createTopic("compacted", configs: ["retention.ms": "1000", "cleanup.policy": "compact"])
            for topic in [brief, kept, compacted] {
                for timestamp: Int64 in [100, 200, 5000] { try await broker.append(large, to: topic.partitions[0], timestamp: timestamp) }
            }
            await RetentionService(broker: broker.server.context, now: { 1500 }).sweep()
            #expect(brief.partitions[0].logStartOffset == 2)
            #expect(kept.partitions[0].logStartOffset == 0)
            #expect(compacted.partitions[0].logStartOffset == 0)
        }
    }

    @Test func aPartitionThatCannotBeReadDoesNotKeepTheRecordsOfOthers() async throws {
        try await TestBroker.with { broker in
            let damaged = try await broker.createTopic("damaged", configs: ["retention.ms": "1000", "cleanup.policy": "compact,delete"])
            let good = try await broker.createTopic("good", configs: ["retention.ms": "1000"])
            var builder = RecordBatchBuilder()
            builder.append(key: [1], value: large, timestamp: 100)
            let frame = Frame(try builder.finish())
            let header = try #require(frame.withUnsafeBytes { RecordBatchHeader($0) })
            // Its length, as a disk might have left it.
            frame.withUnsafeMutableBytes { bytes in bytes[8...11].copyBytes(from: [0xff, 0xff, 0xff, 0xff]) }
            let append = Append(
                partition: damaged.partitions[0], frame: frame, slice: FrameSlice(offset: 0, length: frame.byteCount), header: header)
            #expect(await broker.store.append([append]).map(\.errorCode) == [.none])
            for topic in [damaged, good] {
                for timestamp: Int64 in [100, 200] { try await broker.append(large, to: topic.partitions[0], timestamp: timestamp) }
            }
            await RetentionService(broker: broker.server.context, now: { 5000 }).sweep()
            #expect(damaged.partitions[0].logStartOffset == 0)
            #expect(good.partitions[0].logStartOffset == 2)
        }
    }

    @Test func theOldestBytesGoWhenAPartitionHoldsTooMany() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("small", configs: ["retention.bytes": "250000"])
            for _ in 0..<6 { try await broker.append(large, to: topic.partitions[0], timestamp: 100) }
            await RetentionService(broker: broker.server.context, now: { 100 }).sweep()
            let start = topic.partitions[0].logStartOffset
            #expect(start >= 3 && start <= 4, "retention.bytes keeps at least that many and not an extent more: \(start)")
        }
    }
}
