internal import KafkaProtocol
internal import Store

/// Why one partition of a produce request is not appended to.
struct ProduceRefusal: Error {
    var errorCode: ErrorCode
    var message: String?
    var records: [ProduceResponse.RecordError] = []

    init(_ errorCode: ErrorCode, _ message: String? = nil) {
        self.errorCode = errorCode
        self.message = message
    }

    init(_ error: RecordError) {
        errorCode = ErrorCode(rawValue: error.code)
        message = error.description
        guard case .rejected(let rejected) = error else { return }
        records = rejected.map { one in
            var record = ProduceResponse.RecordError()
            record.batchIndex = one.index
            record.batchIndexErrorMessage = one.description
            return record
        }
    }

    func answer(_ index: Int32) -> ProduceResponse.Partition {
        var answer = ProduceResponse.Partition()
        answer.index = index
        answer.errorCode = errorCode
        answer.errorMessage = message
        answer.baseOffset = -1
        answer.recordErrors = records
        return answer
    }
}

/// What one produce request carries, checked, and made what the topics keep: stamped with the broker's time, or in another codec.
struct ProduceIntake: Sendable {
    /// The batches that may go to the store, in the order of the request.
    private(set) var appends: [Append] = []
    /// Why the others may not, by their place in the request.
    private(set) var refusals: [Int: ProduceRefusal] = [:]
    /// Of the frames that were made for batches in another codec.
    private(set) var madeByteCount = 0
    private var placeCount = 0
    /// Batches that are taken as far as that goes without opening them, by their index in `appends`.
    private var unopened: [(index: Int, settings: TopicSettings)] = []
    /// What came out of the batches that were opened.
    private var decompressedByteCount = 0
    private let frame: Frame
    private let version: Int16
    private let acks: Int16
    private var now = WallClock.nowMs

    /// As much may come out of all batches of a request: others wait for their turn meanwhile.
    private static let decompressedByteCountMax = 512 << 20

    init(_ request: ProduceRequest, _ call: Call) {
        frame = call.frame
        version = call.header.version
        acks = request.acks
        let count = request.topicData.reduce(0) { $0 + $1.partitionData.count }
        appends.reserveCapacity(count)
        for data in request.topicData {
            let topic = call.broker.store.topic(named: data.name)
            for partition in data.partitionData { take(partition, of: topic) }
        }
    }

    /// Some batches are to be looked into or put into another codec, which takes its time: `open` does it, on any thread.
    var mustOpen: Bool { !unopened.isEmpty }

    /// Opens what is to be opened. What cannot be is refused.
    mutating func open() {
        // It may have waited for its turn.
        now = WallClock.nowMs
        var refused: [Int: ProduceRefusal] = [:]
        for (index, settings) in unopened {
            do throws(ProduceRefusal) {
                appends[index] = try open(appends[index], settings)
            } catch {
                refused[index] = error
            }
        }
        unopened = []
        refuse(refused)
    }

    /// Refuses some of the appends, by their indexes.
    mutating func refuse(_ refused: [Int: ProduceRefusal]) {
        guard !refused.isEmpty else { return }
        let places = (0..<placeCount).filter { refusals[$0] == nil }
        for (index, refusal) in refused { refusals[places[index]] = refusal }
        appends = appends.indices.filter { refused[$0] == nil }.map { appends[$0] }
    }

    private mutating func take(_ partition: ProduceRequest.Partition, of topic: Topic?) {
        defer { placeCount += 1 }
        do throws(ProduceRefusal) {
            appends.append(try append(partition, to: topic))
        } catch {
            refusals[placeCount] = error
        }
    }

    /// The batch of `partition`, ready for the store or to be opened.
    private mutating func append(_ partition: ProduceRequest.Partition, to topic: Topic?) throws(ProduceRefusal) -> Append {
        guard (-1...1).contains(acks) else { throw ProduceRefusal(.invalidRequiredAcks) }
        guard let topic, topic.partitions.indices.contains(Int(partition.index)) else { throw ProduceRefusal(.unknownTopicOrPartition) }
        let settings = topic.settings
        if acks == -1, settings.minInsyncReplicas > 1 {
            throw ProduceRefusal(.notEnoughReplicas, "min.insync.replicas is \(settings.minInsyncReplicas), and there is one replica")
        }
        guard let slice = partition.records, slice.length > 0 else { throw ProduceRefusal(RecordError.empty) }
        let rules = self.rules(settings)
        let header = try validate(slice, rules)
        let isKept = settings.keptCodec.map { $0 == header.codec } ?? true
        let isPacked = header.codec != CompressionCodec.none
        // Sarama of before 2025 leaves −1 for the greatest timestamp, by which records are found and kept.
        let isTimeMissing = rules.timestampType == .createTime && header.maxTimestamp < header.baseTimestamp
        if !isKept || (isPacked && (rules.requireKeys || isTimeMissing)) { unopened.append((appends.count, settings)) }
        return Append(partition: topic.partitions[Int(partition.index)], frame: frame, slice: slice, header: header)
    }

    /// Checks the batch, and corrects or stamps its greatest timestamp where it lies: nobody else has seen the frame.
    private func validate(_ slice: FrameSlice, _ rules: ValidationRules) throws(ProduceRefusal) -> RecordBatchHeader {
        do throws(RecordError) {
            return try frame.withUnsafeMutableBytes { bytes throws(RecordError) in
                let batch = UnsafeMutableRawBufferPointer(rebasing: bytes[slice.offset..<(slice.offset + slice.length)])
                var header = try ProducedBatch.validate(UnsafeRawBufferPointer(batch), rules: rules)
                if rules.timestampType == .logAppendTime {
                    RecordBatchHeader.patch(batch, logAppendTime: now)
                    header = RecordBatchHeader(UnsafeRawBufferPointer(batch)) ?? header
                } else {
                    RecordBatchHeader.patch(batch, maxTimestamp: header.maxTimestamp)
                }
                return header
            }
        } catch {
            throw ProduceRefusal(error)
        }
    }

    private func rules(_ settings: TopicSettings) -> ValidationRules {
        var rules = ValidationRules(maxBytes: settings.maxMessageBytes, now: now)
        rules.timestampBeforeMax = settings.timestampBeforeMaxMs
        rules.timestampAfterMax = settings.timestampAfterMaxMs
        rules.timestampType = settings.timestampType == .logAppendTime ? .logAppendTime : .createTime
        rules.requireKeys = settings.cleanupPolicy.contains(.compact)
        rules.allowsZstd = version >= 7
        rules.decompressedLimit = min(rules.decompressedLimit, Self.decompressedByteCountMax - decompressedByteCount)
        return rules
    }

    /// Looks into a batch, and puts it into the topic's codec where that is another (`compression.type`).
    private mutating func open(_ append: Append, _ settings: TopicSettings) throws(ProduceRefusal) -> Append {
        var header = append.header
        do throws(RecordError) {
            let rules = self.rules(settings)
            let plain = try frame.withUnsafeMutableBytes { bytes throws(RecordError) in
                let batch = UnsafeMutableRawBufferPointer(rebasing: bytes[append.slice.offset..<(append.slice.offset + append.slice.length)])
                let plain = try ProducedBatch.open(
                    UnsafeRawBufferPointer(batch), header, rules: rules, decompressedByteCount: &decompressedByteCount)
                if rules.timestampType == .createTime {
                    header.maxTimestamp = plain.maxTimestamp
                    RecordBatchHeader.patch(batch, maxTimestamp: plain.maxTimestamp)
                } else {
                    RecordBatchHeader.patch(batch, logAppendTime: now)
                    header = RecordBatchHeader(UnsafeRawBufferPointer(batch)) ?? header
                }
                return plain
            }
            guard let codec = settings.keptCodec, codec != header.codec else {
                return Append(partition: append.partition, frame: frame, slice: append.slice, header: header)
            }
            return try pack(plain.records, header, as: codec, settings, append.partition)
        } catch {
            throw ProduceRefusal(error)
        }
    }

    /// The same records in another codec, in a frame of their own.
    private mutating func pack(
        _ records: [UInt8], _ header: RecordBatchHeader, as codec: CompressionCodec, _ settings: TopicSettings, _ target: Partition
    ) throws(RecordError) -> Append {
        let packed = try records.span.bytes.withUnsafeBytes { raw throws(RecordError) in
            do throws(CompressionError) {
                return try codec.compress(raw, level: settings.level(of: codec))
            } catch {
                throw .compression(error)
            }
        }
        var changed = header
        changed.attributes = header.attributes & ~0x07 | Int16(codec.rawValue)
        let byteCount = RecordBatchHeader.headerByteCount + packed.count
        changed.batchLength = Int32(byteCount - 12)
        guard byteCount <= settings.maxMessageBytes else { throw .tooLarge(byteCount: byteCount, limit: settings.maxMessageBytes) }
        let made = Frame(byteCount: byteCount)
        made.withUnsafeMutableBytes { bytes in
            UnsafeMutableRawBufferPointer(rebasing: bytes[RecordBatchHeader.headerByteCount...]).copyBytes(from: packed)
            changed.write(to: bytes)
            changed.crc = RecordBatchHeader.checksum(ofBatch: UnsafeRawBufferPointer(bytes))
            changed.write(to: bytes)
        }
        madeByteCount += byteCount
        return Append(partition: target, frame: made, slice: FrameSlice(offset: 0, length: byteCount), header: changed)
    }
}

extension TopicSettings {
    /// How hard `codec` tries (KIP-390); nil for its own choice.
    func level(of codec: CompressionCodec) -> Int? {
        switch codec {
        case .gzip: gzipLevel
        case .lz4: lz4Level
        case .zstd: zstdLevel
        default: nil
        }
    }

    /// The codec that batches are kept in; nil where they stay as they came.
    var keptCodec: CompressionCodec? {
        switch compressionType {
        case "none", "uncompressed": CompressionCodec.none
        case "gzip": .gzip
        case "snappy": .snappy
        case "lz4": .lz4
        case "zstd": .zstd
        default: nil
        }
    }
}
