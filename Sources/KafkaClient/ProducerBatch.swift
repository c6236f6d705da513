import KafkaProtocol
import NIOCore

/// Records on their way to one partition, sent and answered together.
final class ProducerBatch: QueuedBatch, @unchecked Sendable {
    // Unchecked: while open it belongs to its topic and is touched under that lock; once closed, to the event loop.
    typealias Completion = @Sendable (Result<Int64, ClientError>) -> Void

    let lane: PartitionLane
    let openedAt: NIODeadline
    private var builder: RecordBatchBuilder
    private var completions: [(index: Int64, completion: Completion)] = []
    private(set) var recordCount: Int32 = 0
    /// Of records before compression, as counted against the producer's buffer.
    private(set) var byteCount = 0

    var order: UInt64 = 0
    var place: (identity: ProducerIdentity, sequence: Int32)?
    /// Why it was not delivered yet.
    var lastFailure: ClientError?
    /// An answer is missing, or does not say that nothing was written.
    var mayBeWritten = false
    /// What goes over the wire, once `seal` has made it.
    private(set) var sealed = ByteBuffer()
    private var sealedPlace: (identity: ProducerIdentity, sequence: Int32)?

    init(_ lane: PartitionLane, capacity: Int, openedAt: NIODeadline = .now()) {
        self.lane = lane
        self.openedAt = openedAt
        builder = RecordBatchBuilder(capacity: capacity)
    }

    func append(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [RecordHeader], timestampMs: Int64, accounted: Int,
        completion: Completion?
    ) {
        if let completion { completions.append((Int64(recordCount), completion)) }
        builder.append(key: key, value: value, headers: headers, timestamp: timestampMs)
        recordCount += 1
        byteCount += accounted
    }

    /// Bytes on the wire if it were closed now, before compression.
    var openByteCount: Int { builder.byteCount }

    func deadline(_ options: ProducerOptions) -> NIODeadline { openedAt + options.deliveryTimeout }

    /// Makes the bytes for the wire, or gives those made before their new place in the sequence.
    /// - Returns: their number.
    func seal(_ options: ProducerOptions, isTransactional: Bool) throws(ClientError) -> Int {
        if sealed.readableBytes == 0 {
            let bytes: [UInt8]
            do throws(CompressionError) {
                bytes = try builder.finish(
                    codec: options.codec, producerID: place?.identity.id ?? -1, producerEpoch: place?.identity.epoch ?? -1,
                    baseSequence: place?.sequence ?? -1, transactional: isTransactional)
            } catch {
                throw .invalid("the records cannot be compressed: \(error)")
            }
            sealed = ByteBuffer(bytes: bytes)
            builder = RecordBatchBuilder(capacity: 0)
        } else if place?.identity != sealedPlace?.identity || place?.sequence != sealedPlace?.sequence {
            restamp()
        }
        sealedPlace = place
        return sealed.readableBytes
    }

    /// Offsets as drawn at `RecordBatchHeader`.
    private func restamp() {
        sealed.setInteger(place?.identity.id ?? -1, at: 43)
        sealed.setInteger(place?.identity.epoch ?? -1, at: 51)
        sealed.setInteger(place?.sequence ?? -1, at: 53)
        sealed.setInteger(sealed.withUnsafeReadableBytes { RecordBatchHeader.checksum(ofBatch: $0) }, at: 17)
    }

    /// Two with half of the records each, and with those who wait for them, to be sent in place of this one.
    func halves() throws(RecordError) -> [ProducerBatch] {
        let bytes = Array(buffer: sealed)
        let batch = try DecodedBatch(bytes.span.bytes, limit: Int(Int32.max))
        var reader = batch.reader
        var completions = completions[...]
        var halves: [ProducerBatch] = []
        for index in 0..<Int64(recordCount) {
            guard let record = try reader.next() else { break }
            if halves.isEmpty || halves.count == 1 && index >= Int64(recordCount) / 2 {
                halves.append(ProducerBatch(lane, capacity: batch.records.count / 2, openedAt: openedAt))
            }
            let completion = completions.first?.index == index ? completions.removeFirst().completion : nil
            let (key, value, headers) = (reader.array(record.key), reader.array(record.value), reader.headers(of: record))
            halves[halves.count - 1].append(key: key, value: value, headers: headers, timestampMs: record.timestamp, completion: completion)
        }
        return halves
    }

    private func append(key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader], timestampMs: Int64, completion: Completion?) {
        let byteCount = RecordBatchBuilder.greatestByteCount(key: key?.count ?? 0, value: value?.count ?? 0, headers: headers)
        (key ?? []).withUnsafeBytes { keyBytes in
            (value ?? []).withUnsafeBytes { valueBytes in
                append(
                    key: key == nil ? nil : keyBytes, value: value == nil ? nil : valueBytes, headers: headers, timestampMs: timestampMs,
                    accounted: byteCount, completion: completion)
            }
        }
    }

    /// Tells whoever waits for single records of the batch.
    func complete(_ result: Result<Int64, ClientError>) {
        for (index, completion) in completions { completion(result.map { $0 < 0 ? $0 : $0 &+ index }) }
        completions = []
        sealed = ByteBuffer()
    }
}

extension ProduceRequest {
    /// Lists `batches`, which are sorted by topic, in their order.
    init(_ batches: [ProducerBatch], _ options: ProducerOptions) {
        self.init()
        acks = options.acknowledgement.rawValue
        timeoutMs = Int32(clamping: options.requestTimeout.nanoseconds / 1_000_000)
        var topic = Topic()
        for batch in batches {
            if batch.lane.partition.topic != topic.name {
                if !topic.partitionData.isEmpty { topicData.append(topic) }
                topic = Topic { $0.name = batch.lane.partition.topic }
            }
            topic.partitionData.append(
                Partition {
                    $0.index = batch.lane.partition.partition
                    // Only its length counts: the bytes are handed to the connection beside the request.
                    $0.records = FrameSlice(offset: 0, length: batch.sealed.readableBytes)
                })
        }
        if !topic.partitionData.isEmpty { topicData.append(topic) }
    }
}
