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

/// Checks what one produce request carries, and makes it what the topic keeps: stamped with the broker's time, or in
/// another codec.
struct ProduceIntake {
    private let frame: Frame
    private let version: Int16
    private let acks: Int16
    private let now = WallClock.nowMs
    /// What came out of the batches that were looked into.
    private var decompressedByteCount = 0

    /// As much may come out of all batches of a request: other clients of the loop wait meanwhile.
    private static let decompressedByteCountMax = 512 << 20

    init(_ call: Call, acks: Int16) {
        frame = call.frame
        version = call.header.version
        self.acks = acks
    }

    /// The batch of `partition`, ready for the store.
    mutating func append(_ partition: ProduceRequest.Partition, to topic: Topic?) throws(ProduceRefusal) -> Append {
        guard (-1...1).contains(acks) else { throw ProduceRefusal(.invalidRequiredAcks) }
        guard let topic, topic.partitions.indices.contains(Int(partition.index)) else { throw ProduceRefusal(.unknownTopicOrPartition) }
        let settings = topic.settings
        if acks == -1, settings.minInsyncReplicas > 1 {
            throw ProduceRefusal(.notEnoughReplicas, "min.insync.replicas is \(settings.minInsyncReplicas), and there is one replica")
        }
        guard let slice = partition.records, slice.length > 0 else { throw ProduceRefusal(RecordError.empty) }
        let header = try validate(slice, settings)
        let target = topic.partitions[Int(partition.index)]
        if let codec = settings.keptCodec, codec != header.codec {
            return try recompress(slice, header, as: codec, settings, target)
        }
        return Append(partition: target, frame: frame, slice: slice, header: header)
    }

    /// Checks the batch, and corrects or stamps its greatest timestamp where it lies: nobody else has seen the frame.
    private mutating func validate(_ slice: FrameSlice, _ settings: TopicSettings) throws(ProduceRefusal) -> RecordBatchHeader {
        let rules = self.rules(settings)
        do throws(RecordError) {
            return try frame.withUnsafeMutableBytes { bytes throws(RecordError) in
                let batch = UnsafeMutableRawBufferPointer(rebasing: bytes[slice.offset..<(slice.offset + slice.length)])
                var header = try ProducedBatch.validate(
                    UnsafeRawBufferPointer(batch), rules: rules, decompressedByteCount: &decompressedByteCount)
                if settings.timestampType == .logAppendTime {
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

    /// The same records in another codec, in a frame of their own (`compression.type`).
    private mutating func recompress(
        _ slice: FrameSlice, _ header: RecordBatchHeader, as codec: CompressionCodec, _ settings: TopicSettings, _ target: Partition
    ) throws(ProduceRefusal) -> Append {
        var changed = header
        let records: [UInt8]
        do throws(RecordError) {
            let rules = rules(settings)
            let plain = try frame.withUnsafeBytes { bytes throws(RecordError) in
                let batch = UnsafeRawBufferPointer(rebasing: bytes[slice.offset..<(slice.offset + slice.length)])
                return try ProducedBatch.open(batch, header, rules: rules, decompressedByteCount: &decompressedByteCount)
            }
            if settings.timestampType == .createTime { changed.maxTimestamp = plain.maxTimestamp }
            records = try plain.records.span.bytes.withUnsafeBytes { raw throws(RecordError) in
                do throws(CompressionError) {
                    return try codec.compress(raw, level: settings.level(of: codec))
                } catch {
                    throw .compression(error)
                }
            }
        } catch {
            throw ProduceRefusal(error)
        }
        changed.attributes = header.attributes & ~0x07 | Int16(codec.rawValue)
        let byteCount = RecordBatchHeader.headerByteCount + records.count
        changed.batchLength = Int32(byteCount - 12)
        guard byteCount <= settings.maxMessageBytes else {
            throw ProduceRefusal(RecordError.tooLarge(byteCount: byteCount, limit: settings.maxMessageBytes))
        }
        let copy = Frame(byteCount: byteCount)
        copy.withUnsafeMutableBytes { bytes in
            UnsafeMutableRawBufferPointer(rebasing: bytes[RecordBatchHeader.headerByteCount...]).copyBytes(from: records)
            changed.write(to: bytes)
            changed.crc = RecordBatchHeader.checksum(ofBatch: UnsafeRawBufferPointer(bytes))
            changed.write(to: bytes)
        }
        return Append(partition: target, frame: copy, slice: FrameSlice(offset: 0, length: byteCount), header: changed)
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
