import KafkaProtocol
import Testing

/// Messages spelled out by hand from the protocol's description, byte for byte.
@Suite struct GoldenBytesTests {
    /// A size prefix before `parts`.
    private func sized(_ parts: [UInt8]...) -> [UInt8] {
        let body = parts.flatMap { $0 }
        return [0, 0, UInt8(body.count >> 8), UInt8(body.count & 0xff)] + body
    }

    private let nothing = Frame([])

    private func expectRequest<R: Request>(
        _ request: R, version: Int16, clientID: String?, _ bytes: [UInt8], joined source: Frame? = nil
    ) throws {
        let source = source ?? nothing
        let encoded = encodeRequest(request, correlationID: 0x0102_0304, clientID: clientID, version: version)
        #expect(encoded.joined(with: source.span) == bytes)
        let frame = Frame(Array(bytes[4...]))
        let (header, read) = try openRequest(R.self, frame)
        #expect(header.clientID == clientID && header.correlationID == 0x0102_0304)
        let again = encodeRequest(read, correlationID: 0x0102_0304, clientID: clientID, version: version)
        #expect(again.joined(with: frame.span) == bytes)
    }

    private func expectResponse<R: Request>(
        _: R.Type, _ response: R.Response, version: Int16, _ bytes: [UInt8], joined source: Frame? = nil
    ) throws {
        let source = source ?? nothing
        let encoded = encodeResponse(response, correlationID: 0x0102_0304, version: version)
        #expect(encoded.joined(with: source.span) == bytes)
        let frame = Frame(Array(bytes[4...]))
        let read = try decodeResponse(R.self, version: version, frame.span)
        let again = encodeResponse(read, correlationID: 0x0102_0304, version: version)
        #expect(again.joined(with: frame.span) == bytes)
    }

    @Test func apiVersions0() throws {
        try expectRequest(
            ApiVersionsRequest(), version: 0, clientID: "kcat",
            sized([0, 18, 0, 0, 1, 2, 3, 4], [0, 4, 0x6b, 0x63, 0x61, 0x74]))
        let response = ApiVersionsResponse {
            $0.errorCode = .unsupportedVersion
            $0.apiKeys = [
                ApiVersionsResponse.Range {
                    $0.apiKey = 18; $0.minVersion = 0; $0.maxVersion = 4
                }
            ]
        }
        try expectResponse(
            ApiVersionsRequest.self, response, version: 0,
            sized([1, 2, 3, 4], [0, 35], [0, 0, 0, 1], [0, 18, 0, 0, 0, 4]))
    }

    @Test func apiVersions3() throws {
        let request = ApiVersionsRequest {
            $0.clientSoftwareName = "lib"; $0.clientSoftwareVersion = "2"
        }
        try expectRequest(
            request, version: 3, clientID: nil,
            sized([0, 18, 0, 3, 1, 2, 3, 4], [0xff, 0xff], [0], [4, 0x6c, 0x69, 0x62], [2, 0x32], [0]))
        let response = ApiVersionsResponse {
            $0.apiKeys = [
                ApiVersionsResponse.Range {
                    $0.apiKey = 0; $0.minVersion = 3; $0.maxVersion = 12
                }
            ]
            $0.finalizedFeaturesEpoch = 0
            $0.finalizedFeatures = [
                ApiVersionsResponse.FinalizedFeature {
                    $0.name = "group.version"; $0.maxVersionLevel = 1; $0.minVersionLevel = 1
                }
            ]
        }
        // The response header is version 0: no tags behind the correlation id.
        let feature: [UInt8] = [14] + Array("group.version".utf8) + [0, 1, 0, 1, 0]
        try expectResponse(
            ApiVersionsRequest.self, response, version: 3,
            sized(
                [1, 2, 3, 4], [0, 0], [2, 0, 0, 0, 3, 0, 12, 0], [0, 0, 0, 0],
                [2], [1, 8, 0, 0, 0, 0, 0, 0, 0, 0], [2, UInt8(feature.count + 1), 2], feature))
    }

    @Test func metadata1() throws {
        let request = MetadataRequest { $0.topics = [MetadataRequest.Topic { $0.name = "t1" }] }
        try expectRequest(
            request, version: 1, clientID: "", sized([0, 3, 0, 1, 1, 2, 3, 4, 0, 0], [0, 0, 0, 1], [0, 2, 0x74, 0x31]))
        try expectRequest(MetadataRequest(), version: 1, clientID: "", sized([0, 3, 0, 1, 1, 2, 3, 4, 0, 0], [0xff, 0xff, 0xff, 0xff]))
        let response = MetadataResponse {
            $0.brokers = [
                MetadataResponse.Broker {
                    $0.nodeID = 1; $0.host = "h"; $0.port = 9092
                }
            ]
            $0.controllerID = 1
            $0.topics = [
                MetadataResponse.Topic {
                    $0.name = "t1"
                    $0.partitions = [
                        MetadataResponse.Partition {
                            $0.leaderID = 1; $0.replicaNodes = [1]; $0.isrNodes = [1]
                        }
                    ]
                }
            ]
        }
        try expectResponse(
            MetadataRequest.self, response, version: 1,
            sized(
                [1, 2, 3, 4], [0, 0, 0, 1], [0, 0, 0, 1, 0, 1, 0x68, 0, 0, 0x23, 0x84, 0xff, 0xff], [0, 0, 0, 1],
                [0, 0, 0, 1], [0, 0, 0, 2, 0x74, 0x31, 0], [0, 0, 0, 1],
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]))
    }

    @Test func produce9() throws {
        let batch = Frame([0xb0, 0xb1, 0xb2, 0xb3, 0xb4])
        let request = ProduceRequest {
            $0.acks = -1
            $0.timeoutMs = 30_000
            $0.topicData = [
                ProduceRequest.Topic {
                    $0.name = "t"
                    $0.partitionData = [
                        ProduceRequest.Partition {
                            $0.index = 2; $0.records = FrameSlice(offset: 1, length: 3)
                        },
                        ProduceRequest.Partition { $0.index = 3 },
                    ]
                }
            ]
        }
        try expectRequest(
            request, version: 9, clientID: "p",
            sized(
                [0, 0, 0, 9, 1, 2, 3, 4, 0, 1, 0x70, 0], [0], [0xff, 0xff], [0, 0, 0x75, 0x30], [2], [2, 0x74], [3],
                [0, 0, 0, 2], [4, 0xb1, 0xb2, 0xb3], [0], [0, 0, 0, 3], [0], [0], [0], [0]),
            joined: batch)
        let response = ProduceResponse {
            $0.responses = [
                ProduceResponse.Topic {
                    $0.name = "t"
                    $0.partitionResponses = [
                        ProduceResponse.Partition {
                            $0.index = 2; $0.baseOffset = 258; $0.logStartOffset = 0; $0.currentLeader.leaderID = 1
                        }
                    ]
                }
            ]
        }
        // Version 9 knows no current leader.
        try expectResponse(
            ProduceRequest.self, response, version: 9,
            sized(
                [1, 2, 3, 4, 0], [2], [2, 0x74], [2], [0, 0, 0, 2], [0, 0], [0, 0, 0, 0, 0, 0, 1, 2],
                [UInt8](repeating: 0xff, count: 8), [UInt8](repeating: 0, count: 8), [1], [0], [0], [0], [0, 0, 0, 0], [0]))
        // Version 10 has it behind tag 0: 9 bytes, the last of them its own tags.
        try expectResponse(
            ProduceRequest.self, response, version: 10,
            sized(
                [1, 2, 3, 4, 0], [2], [2, 0x74], [2], [0, 0, 0, 2], [0, 0], [0, 0, 0, 0, 0, 0, 1, 2],
                [UInt8](repeating: 0xff, count: 8), [UInt8](repeating: 0, count: 8), [1], [0],
                [1, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0], [0], [0, 0, 0, 0], [0]))
    }

    @Test func fetch12() throws {
        let request = FetchRequest {
            $0.maxWaitMs = 500
            $0.minBytes = 1
            $0.maxBytes = 0x0100_0000
            $0.isolationLevel = 1
            $0.topics = [
                FetchRequest.Topic {
                    $0.topic = "t"
                    $0.partitions = [
                        FetchRequest.Partition {
                            $0.partition = 4; $0.fetchOffset = 9; $0.partitionMaxBytes = 0x10_0000
                        }
                    ]
                }
            ]
        }
        let none: [UInt8] = [0xff, 0xff, 0xff, 0xff]
        try expectRequest(
            request, version: 12, clientID: "c",
            sized(
                [0, 1, 0, 12, 1, 2, 3, 4, 0, 1, 0x63, 0], none, [0, 0, 1, 0xf4], [0, 0, 0, 1], [1, 0, 0, 0], [1], [0, 0, 0, 0], none,
                [2], [2, 0x74], [2], [0, 0, 0, 4], none, [0, 0, 0, 0, 0, 0, 0, 9], none, none, none, [0, 0x10, 0, 0], [0], [0],
                [1], [1], [0]))
        let source = Frame([1, 2, 3, 4, 5, 6])
        let response = FetchResponse {
            $0.responses = [
                FetchResponse.Topic {
                    $0.topic = "t"
                    $0.partitions = [
                        FetchResponse.Partition {
                            $0.partitionIndex = 4
                            $0.highWatermark = 10
                            $0.lastStableOffset = 10
                            $0.logStartOffset = 0
                            $0.abortedTransactions = [
                                FetchResponse.AbortedTransaction {
                                    $0.producerID = 1; $0.firstOffset = 2
                                }
                            ]
                            $0.records = FrameSlice(offset: 2, length: 2)
                            $0.currentLeader.leaderEpoch = 3
                        }
                    ]
                }
            ]
        }
        let ten: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 10]
        try expectResponse(
            FetchRequest.self, response, version: 12,
            sized(
                [1, 2, 3, 4, 0], [0, 0, 0, 0], [0, 0], [0, 0, 0, 0], [2], [2, 0x74], [2], [0, 0, 0, 4], [0, 0], ten, ten,
                [UInt8](repeating: 0, count: 8), [2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0], none, [3, 3, 4],
                [1, 1, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 3, 0], [0], [0]),
            joined: source)
    }

    @Test func describeTopicPartitionsHasANullableCursor() throws {
        let request = DescribeTopicPartitionsRequest { $0.responsePartitionLimit = 7 }
        let head: [UInt8] = [0, 75, 0, 0, 1, 2, 3, 4, 0xff, 0xff, 0]
        try expectRequest(request, version: 0, clientID: nil, sized(head, [1], [0, 0, 0, 7], [0xff], [0]))
        var resumed = request
        resumed.cursor = .init {
            $0.topicName = "t"; $0.partitionIndex = 3
        }
        try expectRequest(resumed, version: 0, clientID: nil, sized(head, [1], [0, 0, 0, 7], [1, 2, 0x74, 0, 0, 0, 3, 0], [0]))
    }

    @Test func errorsAndKeysHaveKafkasNames() {
        #expect(ErrorCode(rawValue: -1).name == "UNKNOWN_SERVER_ERROR" && ErrorCode.none.name == "NONE")
        #expect(ErrorCode.unknownTopicOrPartition.rawValue == 3 && ErrorCode.unknownTopicOrPartition.isRetriable)
        #expect(ErrorCode.kafkaStorageError.rawValue == 56 && ErrorCode.kafkaStorageError.isRetriable)
        #expect(ErrorCode.unknownTopicID.rawValue == 100 && ErrorCode.unknownTopicID.name == "UNKNOWN_TOPIC_ID")
        #expect(ErrorCode.transactionAbortable.rawValue == 120 && ErrorCode.invalidRegularExpression.rawValue == 128)
        #expect(ErrorCode(rawValue: 133).name == "SHARE_SESSION_LIMIT_REACHED" && ErrorCode(rawValue: 134).name == "ERROR_134")
        #expect(!ErrorCode.invalidRequest.isRetriable)
        #expect(ApiKey(rawValue: 75) == .describeTopicPartitions && ApiKey.describeTopicPartitions.name == "DescribeTopicPartitions")
        #expect(ApiKey(rawValue: -1).name == "API_-1" && ApiKey.offsetDelete.flexibleFrom == .max)
    }
}
