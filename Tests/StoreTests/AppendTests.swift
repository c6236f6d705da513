import KafkaProtocol
import Testing

@testable import Store

@Suite struct AppendTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func recordsComeBackAtTheirOffsets() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        #expect(try store.append(makeBatch([[1], [2]]), to: partition).baseOffset == 0)
        #expect(try store.append(makeBatch([[3]]), to: partition).baseOffset == 2)
        #expect(partition.highWatermark == 3)
        #expect(try store.values(of: partition) == [0: [1], 1: [2], 2: [3]])
        #expect(try store.values(of: partition, from: 1) == [1: [2], 2: [3]])
    }

    @Test(
        arguments: [
            60, 5_000, directByteCountMin - 90, directByteCountMin, 200_000, extentByteCountMax - 90, extentByteCountMax, extentByteCountMax + 1,
            3_000_000,
        ], [16, 64])
    func batchesOfAnySizeSurviveARestart(size: Int, valuePages: Int) throws {
        let values: [[UInt8]] = (0..<4).map { [UInt8](repeating: UInt8($0 + 1), count: size) }
        try {
            var options = smallOptions()
            options.valuePages = valuePages
            let store = try Store.open(directory: directory.path, options: options)
            let partition = try store.makeTopic("t").partitions[0]
            for value in values { #expect(try store.append(makeBatch([value]), to: partition).errorCode == .none) }
            #expect(try store.values(of: partition).count == 4)
        }()
        try {
            let store = try Store.open(directory: directory.path, options: smallOptions())
            let partition = try #require(store.topic(named: "t")).partitions[0]
            #expect(try store.values(of: partition) == Dictionary(uniqueKeysWithValues: values.enumerated().map { (Int64($0), $1) }))
        }()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    @Test func aReadTakesWholeBatchesAndAtLeastOneWhenAsked() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let batch = try makeBatch([[UInt8](repeating: 7, count: 1000)])
        for _ in 0..<5 { _ = try store.append(batch, to: partition) }
        func read(_ maxBytes: Int, whole: Bool) throws -> Int {
            var sink = ByteSink()
            return try store.withReader { reader throws(StoreError) in
                try reader.read(partition, from: 1, limit: 5, maxBytes: maxBytes, firstBatchWhole: whole, into: &sink)
            }
        }
        #expect(try read(1, whole: true) == batch.count)
        #expect(try read(1, whole: false) == 0)
        #expect(try read(batch.count * 3 - 1, whole: false) == batch.count * 2)
        #expect(try read(1 << 20, whole: false) == batch.count * 4)
    }

    @Test func offsetsOutsideTheLogAreRefused() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        _ = try store.append(makeBatch([[1]]), to: partition)
        for offset: Int64 in [-1, 2] {
            #expect(throws: StoreError.offsetOutOfRange) {
                var sink = ByteSink()
                _ = try store.withReader { reader throws(StoreError) in
                    try reader.read(partition, from: offset, limit: 1, maxBytes: 100, firstBatchWhole: true, into: &sink)
                }
            }
        }
    }
}

@Suite struct IdempotenceTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func batch(_ sequence: Int32, count: Int = 1, epoch: Int16 = 0) throws -> [UInt8] {
        try makeBatch((0..<count).map { [UInt8($0)] }, producerID: 9, epoch: epoch, sequence: sequence)
    }

    @Test func aBatchSentAgainIsAnsweredWithItsOffsetAlsoAfterRestarts() throws {
        for clean in [false, true] {
            let target = directory.subdirectory("clean-\(clean)")
            try {
                let store = try Store.open(directory: target, options: smallOptions())
                let partition = try store.makeTopic("t").partitions[0]
                for sequence: Int32 in 0..<7 { _ = try store.append(batch(sequence * 2, count: 2), to: partition) }
                if !clean { try store.backup(to: target + "-copy") }
            }()
            let store = try Store.open(directory: clean ? target : target + "-copy", options: smallOptions())
            let partition = try #require(store.topic(named: "t")).partitions[0]
            for sequence: Int32 in 2..<7 {
                #expect(try store.append(batch(sequence * 2, count: 2), to: partition).baseOffset == Int64(sequence) * 2)
            }
            #expect(partition.highWatermark == 14)
            #expect(try store.append(batch(2, count: 2), to: partition).errorCode == .outOfOrderSequenceNumber, "older than the last five")
            #expect(try store.append(batch(14), to: partition).baseOffset == 14)
        }
    }

    @Test func sequencesAndEpochsAreChecked() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        #expect(try store.append(batch(5), to: partition).errorCode == .none, "a producer that is not known may start anywhere")
        #expect(try store.append(batch(7), to: partition).errorCode == .outOfOrderSequenceNumber)
        #expect(try store.append(batch(6), to: partition).errorCode == .none)
        #expect(try store.append(batch(1, epoch: 1), to: partition).errorCode == .outOfOrderSequenceNumber, "a new epoch starts at 0")
        #expect(try store.append(batch(0, epoch: 1), to: partition).errorCode == .none)
        #expect(try store.append(batch(7), to: partition).errorCode == .invalidProducerEpoch)
        guard case .producers(let producers) = try store.administer(.describeProducers(partition: partition.id)) else {
            throw TestFailure("no producers")
        }
        #expect(producers.map(\.producerID) == [9])
        #expect(producers.map(\.producerEpoch) == [1])
        #expect(producers.map(\.lastSequence) == [0])
    }

    @Test func sequencesWrapAround() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        #expect(try store.append(batch(Int32.max, count: 2), to: partition).errorCode == .none)
        #expect(try store.append(batch(1), to: partition).errorCode == .none)
        #expect(try store.append(batch(Int32.max, count: 2), to: partition).baseOffset == 0)
    }

    @Test func producerIDsAreNeverGivenTwice() throws {
        func take(_ store: Store) throws -> Int64 {
            guard case .producerID(let id) = try store.administer(.allocateProducerIDs(count: 1)) else { throw TestFailure("no producer id") }
            return id
        }
        var seen: Set<Int64> = []
        for _ in 0..<3 {
            let store = try Store.open(directory: directory.path, options: smallOptions())
            for _ in 0..<3 { #expect(seen.insert(try take(store)).inserted) }
        }
    }
}
