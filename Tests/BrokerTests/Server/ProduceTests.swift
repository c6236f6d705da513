import Dispatch
import KafkaProtocol
import NIOPosix
import Store
import Testing

@testable import Broker

@Suite struct ProduceTests {
    /// What one request's partitions are answered with.
    private func errors(_ response: ProduceResponse) -> [ErrorCode] {
        response.responses.flatMap { $0.partitionResponses.map(\.errorCode) }
    }

    private func compressed(_ codec: CompressionCodec) throws -> [UInt8] {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: [UInt8](repeating: 1, count: 10_000), timestamp: 1)
        return try builder.finish(codec: codec)
    }

    @Test func eachPartitionHasItsOwnFate() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("mixed", partitions: 3)
            let good = try batch(["a", "b"])
            var bad = good
            bad[bad.count - 1] ^= 1
            let records = good + bad
            let slices = [FrameSlice(offset: 0, length: good.count), FrameSlice(offset: good.count, length: bad.count)]
            let request = ProduceRequest("mixed", [(0, slices[0]), (1, slices[1]), (7, slices[0]), (2, slices[0])])
            let answer = try broker.connect().ask(request, version: 9, records: records)
            #expect(errors(answer) == [.none, .corruptMessage, .unknownTopicOrPartition, .none])
            #expect(answer.responses[0].partitionResponses.map(\.index) == [0, 1, 7, 2])
            #expect(topic.partitions.map(\.highWatermark) == [2, 0, 2])
        }
    }

    /// Of a compressed batch, a thousand times as much may come out, and other clients wait for it.
    @Test func whatComesOutOfAllBatchesOfARequestIsBounded() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("opened", configs: ["cleanup.policy": "compact"])
            var builder = RecordBatchBuilder()
            builder.append(key: [1], value: [UInt8](repeating: 0, count: 60 << 20), timestamp: 1)
            let one = try builder.finish(codec: .zstd)
            let slice = FrameSlice(offset: 0, length: one.count)
            let request = ProduceRequest("opened", Array(repeating: (0, slice), count: 10))
            let answer = try broker.connect().ask(request, version: 9, records: one)
            // 512 MiB have room for eight.
            #expect(errors(answer) == Array(repeating: .none, count: 8) + [.messageTooLarge, .messageTooLarge])
            #expect(topic.partitions[0].highWatermark == 8)
        }
    }

    /// What fails has cost as much as what succeeds.
    @Test(arguments: [["cleanup.policy": "compact"], ["compression.type": "gzip"]])
    func whatComesOutOfRefusedBatchesCounts(configs: [String: String]) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("opened", configs: configs)
            var builder = RecordBatchBuilder()
            builder.append(key: [1], value: [UInt8](repeating: 0, count: 65 << 20), timestamp: 1)
            let tooMuch = try builder.finish(codec: .zstd)
            builder = RecordBatchBuilder()
            builder.append(key: [1], value: [2], timestamp: 1)
            let little = try builder.finish(codec: .zstd)
            let slices = [FrameSlice(offset: 0, length: tooMuch.count), FrameSlice(offset: tooMuch.count, length: little.count)]
            // The limit of one batch is an eighth of the limit of a request.
            let request = ProduceRequest("opened", [(0, slices[1])] + Array(repeating: (0, slices[0]), count: 9) + [(0, slices[1])])
            let answer = try broker.connect().ask(request, version: 9, records: tooMuch + little)
            #expect(errors(answer) == [.none] + Array(repeating: .messageTooLarge, count: 10))
            #expect(topic.partitions[0].highWatermark == 1)
        }
    }

    /// Compressed batches are not looked into as a rule. Those that leave in another codec are, or what is no records would be kept as
    /// if it had been looked at.
    @Test func whatIsNoRecordsIsNotPutIntoAnotherCodec() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            var sent = try batch(["a", "b"])
            let records = try [UInt8]("hello".utf8).withUnsafeBytes { try CompressionCodec.gzip.compress($0) }
            var header = try #require(sent.withUnsafeBytes { RecordBatchHeader($0) })
            sent.replaceSubrange(61..., with: records)
            sent.withUnsafeMutableBytes { bytes in
                header.batchLength = Int32(bytes.count - 12)
                header.attributes = Int16(CompressionCodec.gzip.rawValue)
                header.write(to: bytes)
                header.crc = RecordBatchHeader.checksum(ofBatch: UnsafeRawBufferPointer(bytes))
                header.write(to: bytes)
            }
            for (codec, code) in [("gzip", ErrorCode.none), ("uncompressed", .invalidRecord), ("zstd", .invalidRecord)] {
                try await broker.createTopic(codec, configs: ["compression.type": codec])
                #expect(errors(try client.ask(ProduceRequest(codec, batch: sent), version: 9, records: sent)) == [code])
            }
        }
    }

    @Test func timesAreLookedAtWhereABatchIsOpenedForAnotherCodec() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("times", configs: ["compression.type": "lz4"])
            let client = try broker.connect()
            var builder = RecordBatchBuilder()
            for time in [1_000, 3_000, 2_000] as [Int64] { builder.append(key: nil, value: [1], timestamp: time) }
            var sent = try builder.finish(codec: .gzip)
            sent.withUnsafeMutableBytes { RecordBatchHeader.patch($0, maxTimestamp: 9_000) }
            #expect(errors(try client.ask(ProduceRequest("times", batch: sent), version: 9, records: sent)) == [.none])
            let found = try client.ask(ListOffsetsRequest("times", [(0, -3)]), version: 7)
            #expect(found.topics[0].partitions[0].timestamp == 3_000 && found.topics[0].partitions[0].offset == 1)
        }
    }

    /// As Sarama did until 2025. Kafka looks at every record of every batch.
    @Test(arguments: [CompressionCodec.gzip, .snappy, .lz4, .zstd])
    func aGreatestTimestampThatIsMissingIsFoundInTheRecords(_ codec: CompressionCodec) async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("times")
            let client = try broker.connect()
            var builder = RecordBatchBuilder()
            for time in [1_000, 3_000, 2_000] as [Int64] { builder.append(key: nil, value: [1], timestamp: time) }
            var sent = try builder.finish(codec: codec)
            sent.withUnsafeMutableBytes { RecordBatchHeader.patch($0, maxTimestamp: -1) }
            #expect(errors(try client.ask(ProduceRequest("times", batch: sent), version: 9, records: sent)) == [.none])
            for (asked, time, offset) in [(-3, 3_000, 1), (0, 1_000, 0), (2_500, 3_000, 1), (3_001, -1, -1)] as [(Int64, Int64, Int64)] {
                let found = try client.ask(ListOffsetsRequest("times", [(0, asked)]), version: 7).topics[0].partitions[0]
                #expect(found.timestamp == time && found.offset == offset)
            }
        }
    }

    /// Batches that are opened keep their place among those of their connection, and nobody else waits for them.
    @Test func openingHoldsBackTheConnectionAloneAndNotTheLoop() async throws {
        try await TestBroker.with(["num.network.threads=1"]) { broker in
            let topic = try await broker.createTopic("opened", configs: ["compression.type": "zstd"])
            let (kept, changed) = (try compressed(.zstd), try compressed(.gzip))
            // The one thread that opens is busy.
            let mayGo = DispatchSemaphore(value: 0)
            defer { mayGo.signal() }
            broker.server.context.openers.submit { _ in mayGo.wait() }
            let (slow, other) = (try broker.connect(), try broker.connect())
            let ids = try [changed, kept, changed, kept].map { try slow.send(ProduceRequest("opened", batch: $0), version: 9, records: $0) }
            let first = try other.ask(ProduceRequest("opened", batch: kept), version: 9, records: kept)
            #expect(first.responses[0].partitionResponses[0].baseOffset == 0)
            mayGo.signal()
            let offsets = try ids.map { id in
                try slow.receive(ProduceRequest.self, version: 9, correlationID: id).responses[0].partitionResponses[0].baseOffset
            }
            #expect(offsets == [1, 2, 3, 4])
            #expect(topic.partitions[0].highWatermark == 5)
            #expect(broker.server.context.requestBytes.usedBytes == 0)
        }
    }

    /// An answer that comes meanwhile lets nothing pass that waits for another request.
    @Test func anEarlierAnswerEndsNoHoldOfALaterRequest() async throws {
        try await TestBroker.with(["num.network.threads=1"]) { broker in
            try await broker.createTopic("opened", configs: ["compression.type": "zstd"])
            let (kept, changed) = (try compressed(.zstd), try compressed(.gzip))
            let mayGo = DispatchSemaphore(value: 0)
            defer { mayGo.signal() }
            broker.server.context.openers.submit { _ in mayGo.wait() }
            let (slow, other) = (try broker.connect(), try broker.connect())
            let question = DescribeProducersRequest {
                $0.topics = [DescribeProducersRequest.Topic { ($0.name, $0.partitionIndexes) = ("opened", [0]) }]
            }
            let asked = try slow.send(question)
            let ids = try [changed, kept].map { try slow.send(ProduceRequest("opened", batch: $0), version: 9, records: $0) }
            _ = try slow.receive(DescribeProducersRequest.self, correlationID: asked)
            let first = try other.ask(ProduceRequest("opened", batch: kept), version: 9, records: kept)
            #expect(first.responses[0].partitionResponses[0].baseOffset == 0)
            mayGo.signal()
            let offsets = try ids.map { id in
                try slow.receive(ProduceRequest.self, version: 9, correlationID: id).responses[0].partitionResponses[0].baseOffset
            }
            #expect(offsets == [1, 2])
        }
    }

    /// A producer that wants no answer may hang up at once. Until what it sent is in the store it takes room.
    @Test func whatIsBeingOpenedIsAppendedThoughItsClientIsGone() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("gone", configs: ["compression.type": "lz4"])
            let one = try batch(["a"])
            let mayGo = DispatchSemaphore(value: 0)
            defer { for _ in 0..<2 { mayGo.signal() } }
            for _ in 0..<2 { broker.server.context.openers.submit { _ in mayGo.wait() } }
            var client: WireClient? = try broker.connect()
            try client?.send(ProduceRequest("gone", batch: one, acks: 0), version: 9, records: one)
            try await wait(while: broker.server.context.requestBytes.usedBytes == 0)
            client = nil
            try await wait(while: await broker.server.connectionCount() > 0)
            #expect(broker.server.context.requestBytes.usedBytes >= one.count)
            for _ in 0..<2 { mayGo.signal() }
            try await wait(while: topic.partitions[0].highWatermark == 0)
            try await wait(while: broker.server.context.requestBytes.usedBytes > 0)
        }
    }

    @Test func aPartitionNamedTwiceIsAppendedToTwiceInOrder() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("twice")
            let one = try batch(["a"])
            let slice = FrameSlice(offset: 0, length: one.count)
            let answer = try broker.connect().ask(ProduceRequest("twice", [(0, slice), (0, slice)]), version: 9, records: one)
            #expect(answer.responses[0].partitionResponses.map(\.baseOffset) == [0, 1])
        }
    }

    @Test func acknowledgementsThatAreNoneAreRefused() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("acks")
            let one = try batch(["a"])
            for acks in [Int16(-2), 2, .max] {
                let answer = try broker.connect().ask(ProduceRequest("acks", batch: one, acks: acks), version: 9, records: one)
                #expect(errors(answer) == [.invalidRequiredAcks])
            }
        }
    }

    @Test func aTopicThatAsksForMoreReplicasThanThereAreRefusesAll() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("replicas", configs: ["min.insync.replicas": "2"])
            let one = try batch(["a"])
            let client = try broker.connect()
            #expect(
                errors(try client.ask(ProduceRequest("replicas", batch: one, acks: -1), version: 9, records: one)) == [.notEnoughReplicas])
            #expect(errors(try client.ask(ProduceRequest("replicas", batch: one, acks: 1), version: 9, records: one)) == [.none])
        }
    }

    @Test(arguments: ["gzip", "snappy", "lz4", "zstd", "uncompressed"]) func batchesAreKeptInTheTopicsCodec(codec: String) async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("codec", configs: ["compression.type": codec])
            let values = (0..<100).map { "value \($0)" }
            let sent = try batch(values)
            let client = try broker.connect()
            #expect(errors(try client.ask(ProduceRequest("codec", batch: sent), version: 9, records: sent)) == [.none])
            _ = try client.send(FetchRequest("codec", [(0, 0)]), version: 12)
            let frame = try client.readFrame()
            let fetched = try decodeResponse(FetchRequest.self, version: 12, frame.span.bytes)
            let slice = try #require(fetched.partitions.first?.records)
            let found = RecordBatchHeader(frame.span.bytes, at: slice.offset)
            let header = try #require(found)
            #expect(header.codec == (codec == "uncompressed" ? CompressionCodec.none : TopicSettings.codec(codec)))
            #expect(header.recordCount == 100)
            let kept = Array(frame[slice.offset..<(slice.offset + slice.length)])
            #expect(kept.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) } == header.crc)
            let plain = try kept.withUnsafeBytes {
                try (header.codec ?? .none).decompress(UnsafeRawBufferPointer(rebasing: $0[61...]), limit: 1 << 20)
            }
            #expect(plain == Array(sent[61...]))
        }
    }

    @Test func theBrokersClockIsStampedWhereTheTopicSaysSo() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("stamped", configs: ["message.timestamp.type": "LogAppendTime"])
            let before = WallClock.nowMs
            let sent = try batch(["a"], timestamp: 5)
            let client = try broker.connect()
            let answer = try client.ask(ProduceRequest("stamped", batch: sent), version: 9, records: sent)
            let time = answer.responses[0].partitionResponses[0].logAppendTimeMs
            #expect((before...WallClock.nowMs).contains(time))
            let found = try client.ask(ListOffsetsRequest("stamped", [(0, before)]), version: 7)
            #expect(found.topics[0].partitions[0].timestamp == time)
        }
    }

    @Test(arguments: [Int16(0), 1, 2]) func versionsBeforeThreeAreToldThatTheyAreNotSupported(version: Int16) async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            let head: [UInt8] = [0, 0, 0, UInt8(version), 0, 0, 0, 9, 0xff, 0xff, 0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, 1, 0x74]
            let request = head + [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 0xaa]
            try client.write([0, 0, 0, UInt8(request.count)] + request)
            let noOffset = [UInt8](repeating: 0xff, count: version == 2 ? 16 : 8)
            let throttle = [UInt8](repeating: 0, count: version >= 1 ? 4 : 0)
            #expect(try client.readFrame() == [0, 0, 0, 9, 0, 0, 0, 1, 0, 1, 0x74, 0, 0, 0, 1, 0, 0, 0, 3, 0, 35] + noOffset + throttle)
        }
    }
}

extension TopicSettings {
    fileprivate static func codec(_ name: String) -> CompressionCodec? {
        var settings = TopicSettings()
        settings.compressionType = name
        return settings.keptCodec
    }
}
