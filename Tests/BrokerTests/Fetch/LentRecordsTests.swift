import Glibc
import NIOCore
import Store
import Testing

@testable import Broker
@testable import KafkaProtocol

/// Records that go to the socket from their place in the map.
@Suite struct LentRecordsTests {
    private final class SocketPair {
        var ends: [Int32] = [0, 0]

        init(bufferByteCount: Int32) {
            #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
            var byteCount = bufferByteCount
            #expect(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &byteCount, socklen_t(MemoryLayout<Int32>.size)) == 0)
        }

        deinit { for end in ends { close(end) } }

        /// What has come through.
        func received() -> [UInt8] {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = recv(ends[1], &buffer, buffer.count, Int32(MSG_DONTWAIT))
                guard count > 0 else { return all }
                all += buffer[..<count]
            }
        }
    }

    /// A partition that cannot be read to its end leaves pieces that no slice is of.
    @Test func piecesThatNoSliceIsOfArePassedOver() throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 100_000) }
        let directory = try TemporaryStore()
        defer { directory.close() }
        try bytes.withUnsafeBytes { all in
            var records = AnswerRecords(capacity: bytes.count)
            records.lend(try #require(try directory.store.lendReader()))
            for start in stride(from: 0, to: bytes.count, by: 100_000) { records.append(UnsafeRawBufferPointer(rebasing: all[start..<(start + 100_000)])) }
            var place = AnswerRecords.Place()
            var found: [UInt8] = []
            records.forEachPiece(of: FrameSlice(offset: 200_000, length: 100_000), from: &place) { found += Array($0) }
            #expect(found == [UInt8](repeating: 2, count: 100_000))
        }
    }

    /// A topic whose partitions hold batches of these lengths.
    private func fill(_ store: Store, _ lengths: [[Int]]) async throws -> [Partition] {
        let topic = try await store.createTopic("t", partitions: lengths.count, configs: ["max.message.bytes": "20000000"])
        for (partition, lengths) in zip(topic.partitions, lengths) {
            for (index, length) in lengths.enumerated() {
                _ = try await store.append([UInt8](repeating: UInt8(truncatingIfNeeded: index * 31 + length), count: length), to: partition)
            }
        }
        return topic.partitions
    }

    /// Reads all into `records`, and returns the message that names them.
    private func read(_ partitions: [Partition], _ reader: LogReader, into records: inout AnswerRecords) throws -> Encoded {
        var message = Encoded(bytes: [], insertions: [])
        for (index, partition) in partitions.enumerated() {
            let offset = records.byteCount
            let count = try reader.read(partition, from: 0, limit: .max, maxBytes: 1 << 30, firstBatchWhole: true, into: &records)
            message.bytes += [UInt8](repeating: UInt8(index), count: 7)
            if count > 0 { message.insertions.append((message.bytes.count, FrameSlice(offset: offset, length: count))) }
        }
        message.bytes.append(99)
        records.complete()
        return message
    }

    /// The answer as it is without a loan.
    private func whole(_ partitions: [Partition], _ store: Store) throws -> [UInt8] {
        try store.withReader { reader throws(StoreError) in
            Result {
                var records = AnswerRecords()
                let message = try read(partitions, reader, into: &records)
                return message.joined(with: Array(records.copy.readableBytesView).span.bytes)
            }
        }.get()
    }

    private static let lengths = [[300_000, 70_000, 100, 900_000], [], [50, 60, 70], [2_000_000, 5_000], [80_000, 81_000, 82_000]]

    /// However little the socket takes, and however many calls that are.
    @Test(arguments: zip([4_096, 100_000, 400_000, 400_000] as [Int32], [1024, 1, 3, 1024]))
    func whatTheSocketTakesAndTheRestAreTheAnswer(bufferByteCount: Int32, vectorCountMax: Int) async throws {
        let held = try TemporaryStore()
        defer { held.close() }
        let partitions = try await fill(held.store, Self.lengths)
        var records = AnswerRecords()
        let loan = try #require(try held.store.lendReader())
        records.lend(loan)
        let message = try read(partitions, loan.reader, into: &records)
        #expect(records.isLent)
        records.bringIn()
        var writer = AnswerWriter(allocator: ByteBufferAllocator())
        writer.add(Answer(message: Encoded(bytes: [1, 2, 3], insertions: [])))
        writer.add(Answer(message: message, records: records))
        writer.add(Answer(message: Encoded(bytes: [4], insertions: [])))
        let expected = try [1, 2, 3] + whole(partitions, held.store) + [4]
        #expect(writer.byteCount == expected.count)
        let pair = SocketPair(bufferByteCount: bufferByteCount)
        expect(expected, of: writer, taken: writer.send(to: pair.ends[0], vectorCountMax: vectorCountMax), by: pair)
    }

    /// What the socket has taken, the first `sent` bytes, and the rest make `expected`. A socket that nobody is behind takes nothing.
    private func expect(_ expected: [UInt8], of writer: AnswerWriter, taken sent: Int, by pair: SocketPair) {
        #expect(sent > 0 && sent < expected.count)
        var written = pair.received()
        #expect(written.count == sent)
        writer.write(from: sent) { written += Array($0.readableBytesView) }
        // Not compared in the expectation, which would look for the shortest difference of megabytes.
        let isWhole = written == expected
        #expect(isWhole)
        close(pair.ends[1])
        pair.ends[1] = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #expect(writer.send(to: pair.ends[0]) == 0)
    }

    /// What all but a few answers are.
    @Test func anAnswerInOnePartIsSentAsFarAsTheSocketTakesIt() {
        var writer = AnswerWriter(allocator: ByteBufferAllocator())
        let expected = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        writer.add(Answer(message: Encoded(bytes: Array(expected[..<3]), insertions: [])))
        writer.add(Answer(message: Encoded(bytes: Array(expected[3...]), insertions: [])))
        let pair = SocketPair(bufferByteCount: 4_096)
        expect(expected, of: writer, taken: writer.send(to: pair.ends[0]), by: pair)
    }

    @Test func whatIsCopiedOutStaysWhenTheSnapshotGoes() async throws {
        let held = try TemporaryStore()
        defer { held.close() }
        let partitions = try await fill(held.store, Self.lengths)
        let expected = try whole(partitions, held.store)
        var records = AnswerRecords()
        let message: Encoded
        do {
            let loan = try #require(try held.store.lendReader())
            records.lend(loan)
            message = try read(partitions, loan.reader, into: &records)
        }
        #expect(records.isLent)
        records.copyOut()
        #expect(!records.isLent)
        #expect(message.joined(with: Array(records.copy.readableBytesView).span.bytes) == expected)
    }

    /// What a partition has got since is only in a newer snapshot; what was found in the older one is copied before that goes.
    @Test func aReadOverTwoSnapshotsIsCopied() async throws {
        let held = try TemporaryStore()
        defer { held.close() }
        let partitions = try await fill(held.store, [[300_000, 70_000], []])
        var records = AnswerRecords()
        let loan = try #require(try held.store.lendReader())
        records.lend(loan)
        _ = try await held.store.append([UInt8](repeating: 3, count: 200_000), to: partitions[1])
        let message = try read(partitions, loan.reader, into: &records)
        #expect(!records.isLent)
        #expect(try message.joined(with: Array(records.copy.readableBytesView).span.bytes) == whole(partitions, held.store))
    }

    /// A gathered write of many small pieces, or of little, is no gain.
    @Test(arguments: [[[Int](repeating: 100, count: 2_000)], [[20_000, 10_000]]]) func whatIsSmallIsCopied(lengths: [[Int]]) async throws {
        let held = try TemporaryStore()
        defer { held.close() }
        let partitions = try await fill(held.store, lengths)
        var records = AnswerRecords()
        let loan = try #require(try held.store.lendReader())
        records.lend(loan)
        let message = try read(partitions, loan.reader, into: &records)
        #expect(!records.isLent)
        #expect(try message.joined(with: Array(records.copy.readableBytesView).span.bytes) == whole(partitions, held.store))
    }

    /// A client that has not read its answer pins nothing, and finds in it what there was although that is deleted and written over.
    @Test(arguments: zip([1, 7_100_000, 1, 7_100_000] as [Int32], [nil, nil, 4_096, 4_096] as [Int32?]))
    func whatIsReadLateIsWhatThereWas(minBytes: Int32, receiveByteCount: Int32?) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("early")
            for index in 0..<10 { try await broker.append([UInt8](repeating: UInt8(index), count: 900_000), to: topic.partitions[0], timestamp: 1) }
            let fetch = FetchRequest("early", [(0, 0)], minBytes: minBytes, partitionMaxBytes: 100 << 20)
            let prompt = try broker.connect()
            let expected = try prompt.records(of: prompt.send(fetch, version: 12))
            let late = try broker.connect(receiveByteCount: receiveByteCount)
            let sent = try late.send(fetch, version: 12)
            try late.awaitAnswer()
            _ = await broker.store.perform(.deleteTopic(id: topic.id))
            try await wait(while: broker.store.statistics().freeByteCount < 8_000_000)
            let fileByteCount = broker.store.statistics().fileByteCount
            let other = try await broker.createTopic("later")
            for _ in 0..<8 { try await broker.append([UInt8](repeating: 0xee, count: 900_000), to: other.partitions[0], timestamp: 1) }
            #expect(broker.store.statistics().fileByteCount == fileByteCount, "written over")
            #expect(broker.store.statistics().oldestReaderLag == 0)
            let isTheSame = try late.records(of: sent) == expected
            #expect(isTheSame)
        }
    }

    /// It waits for the one before it as a copy.
    @Test func anAnswerThatHasToWaitPinsNothing() async throws {
        try await TestBroker.with { broker in
            let (empty, full) = (try await broker.createTopic("empty"), try await broker.createTopic("full"))
            for _ in 0..<3 { try await broker.append([UInt8](repeating: 7, count: 900_000), to: full.partitions[0], timestamp: 1) }
            let client = try broker.connect()
            let parked = try client.send(FetchRequest("empty", [(0, 0)], maxWaitMs: 100_000), version: 12)
            let behind = try client.send(FetchRequest("full", [(0, 0)], partitionMaxBytes: 100 << 20), version: 12)
            try await wait(while: broker.server.context.responseBytes.usedBytes < 2_700_000)
            for _ in 0..<5 {
                try await broker.append([8], to: full.partitions[0], timestamp: 1)
                try await wait(while: broker.store.statistics().oldestReaderLag > 0)
            }
            try await broker.append([9], to: empty.partitions[0], timestamp: 1)
            #expect(try client.receive(FetchRequest.self, version: 12, correlationID: parked).recordBytes(0) ?? 0 > 0)
            #expect(try client.receive(FetchRequest.self, version: 12, correlationID: behind).recordBytes(0) ?? 0 > 2_700_000)
            try await wait(while: broker.server.context.responseBytes.usedBytes > 0)
        }
    }

    @Test func fewReadersAreLentAtATime() throws {
        let held = try TemporaryStore()
        defer { held.close() }
        var loans: [ReaderLoan] = []
        while let loan = try held.store.lendReader() { loans.append(loan) }
        #expect(loans.count == 64)
        loans.removeLast()
        #expect(try held.store.lendReader() != nil)
        #expect(try held.store.withReader { _ throws(StoreError) in true })
    }
}

extension WireClient {
    /// The bytes of the records of the only partition in the answer.
    fileprivate func records(of correlationID: Int32) throws -> [UInt8] {
        let frame = try receiveFrame(correlationID: correlationID)
        let response = try decodeResponse(FetchRequest.self, version: 12, frame.span.bytes)
        guard let slice = response.partitions.first?.records else { throw Failure(description: "no records") }
        return Array(frame[slice.offset..<(slice.offset + slice.length)])
    }
}
