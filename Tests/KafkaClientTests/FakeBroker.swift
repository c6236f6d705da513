import KafkaProtocol
import NIOCore
import NIOPosix
import Synchronization

@testable import KafkaClient

/// A broker of one process that keeps batches in memory, checks producers' sequences as Kafka does (five batches
/// remembered), and does to chosen produce requests what networks and brokers do.
final class FakeBroker: Sendable {
    enum Fault: Sendable {
        /// The connection ends before the request is carried out.
        case lostBefore
        /// The request is carried out, and the connection ends before it is answered.
        case lostAfter
        /// Every partition of the request answers with this error and takes nothing.
        case refused(ErrorCode)
        /// The request is carried out, and every partition answers with this error all the same.
        case refusedAfter(ErrorCode)
        /// The request is carried out at once and answered so many milliseconds later; what comes after it waits too.
        case late(Int64)
        /// All that is known of producers is forgotten first.
        case amnesia
    }

    struct Log {
        var batches: [[UInt8]] = []
        var nextOffset: Int64 = 0
        var producers: [Int64: [(sequence: Int32, count: Int32, offset: Int64)]] = [:]
    }

    /// What the cluster looks like to those who ask: the ports of its brokers by id, and the broker that leads every partition.
    struct View: Sendable {
        var ports: [Int32: Int]
        var leader: Int32
    }

    private struct State {
        var logs: [Log]
        var view: View?
        /// Producers that have written, and are not known any more.
        var forgotten: Set<Int64> = []
        var nextProducerID: Int64 = 1
        var produceCount = 0
        var connectionCount = 0
        var versionsAsked: [Int16] = []

        mutating func forgetProducers(_ partition: Int) {
            forgotten.formUnion(logs[partition].producers.keys)
            logs[partition].producers = [:]
        }
    }

    let topic = "topic"
    let topicID = Uuid(high: 1, low: 2)
    private let state: Mutex<State>
    private let fault: @Sendable (_ produceRequest: Int) -> Fault?
    /// Answers ApiVersions requests above this version as an old broker does.
    private let apiVersionsMax: Int16
    /// Larger ones are refused.
    private let batchByteCountMax: Int
    private let channel = Mutex<(any Channel)?>(nil)

    private init(partitionCount: Int, apiVersionsMax: Int16, batchByteCountMax: Int, fault: @escaping @Sendable (Int) -> Fault?) {
        state = Mutex(State(logs: Array(repeating: Log(), count: partitionCount)))
        (self.apiVersionsMax, self.batchByteCountMax) = (apiVersionsMax, batchByteCountMax)
        self.fault = fault
    }

    static func start(
        partitionCount: Int = 1, apiVersionsMax: Int16 = 4, batchByteCountMax: Int = .max,
        fault: @escaping @Sendable (_ produceRequest: Int) -> Fault? = { _ in nil }
    ) async throws -> FakeBroker {
        let broker = FakeBroker(
            partitionCount: partitionCount, apiVersionsMax: apiVersionsMax, batchByteCountMax: batchByteCountMax, fault: fault)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    broker.state.withLock { $0.connectionCount += 1 }
                    try channel.pipeline.syncOperations.addHandler(FakeBrokerHandler(broker))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        broker.channel.withLock { $0 = channel }
        return broker
    }

    func stop() async { try? await channel.withLock { $0 }?.close() }

    var port: Int { channel.withLock { $0?.localAddress?.port ?? 0 } }
    var connectionCount: Int { state.withLock { $0.connectionCount } }
    var produceCount: Int { state.withLock { $0.produceCount } }
    var versionsAsked: [Int16] { state.withLock { $0.versionsAsked } }

    func cluster() -> Cluster {
        var options = Cluster.Options()
        options.backoff = Backoff(initialMs: 1, maximumMs: 5)
        options.operationTimeout = .seconds(20)
        return Cluster(bootstrap: [BrokerAddress(host: "127.0.0.1", port: port)], options: options)
    }

    /// Until then, this broker is all of the cluster.
    func show(_ view: View) { state.withLock { $0.view = view } }

    /// The values in a partition, in order.
    func values(_ partition: Int) throws -> [String] {
        let batches = state.withLock { $0.logs[partition].batches }
        var values: [String] = []
        for bytes in batches {
            let batch = try DecodedBatch(bytes.span.bytes, limit: 1 << 24)
            var reader = batch.reader
            while let record = try reader.next() { values.append(String(decoding: reader.array(record.value) ?? [], as: UTF8.self)) }
        }
        return values
    }

    /// Of all batches in all partitions.
    var batchByteCounts: [Int] { state.withLock { $0.logs.flatMap { $0.batches.map(\.count) } } }

    // MARK: Requests

    /// The response on the wire and by how many milliseconds it is late; nil to end the connection instead, and an empty one where
    /// there is none to give.
    func answer(_ frame: Frame) -> (bytes: [UInt8], lateMs: Int64)? {
        guard let header = try? RequestHeader(frame.span) else { return nil }
        guard header.key == .produce else { return answer(header, frame).map { ($0, 0) } }
        let number = state.withLock { state in
            state.produceCount += 1
            return state.produceCount
        }
        let fault = fault(number)
        guard let request = try? decodeRequest(ProduceRequest.self, header, frame.span), let bytes = produce(header, request, frame, fault)
        else { return nil }
        if case .late(let ms) = fault { return (bytes, ms) }
        return (bytes, 0)
    }

    private func answer(_ header: RequestHeader, _ frame: Frame) -> [UInt8]? {
        switch header.key {
        case .apiVersions: return apiVersions(header)
        case .metadata: return respond(header, metadata(), frame)
        case .initProducerID: return respond(header, initProducerID(), frame)
        case .listOffsets:
            return (try? decodeRequest(ListOffsetsRequest.self, header, frame.span)).map { respond(header, listOffsets($0), frame) }
        case .fetch: return (try? decodeRequest(FetchRequest.self, header, frame.span)).map { fetch(header, $0) }
        default: return nil
        }
    }

    private func respond(_ header: RequestHeader, _ message: some Message, _ frame: Frame) -> [UInt8] {
        encodeResponse(message, correlationID: header.correlationID, version: header.version).joined(with: frame.span)
    }

    private func apiVersions(_ header: RequestHeader) -> [UInt8] {
        state.withLock { $0.versionsAsked.append(header.version) }
        let keys: [(ApiKey, ClosedRange<Int16>)] = [
            (.produce, ProduceRequest.versions), (.fetch, FetchRequest.versions), (.listOffsets, ListOffsetsRequest.versions),
            (.metadata, MetadataRequest.versions), (.apiVersions, 0...apiVersionsMax), (.initProducerID, InitProducerIdRequest.versions),
        ]
        var response = ApiVersionsResponse()
        response.apiKeys = keys.map { key, range in
            ApiVersionsResponse.Range { ($0.apiKey, $0.minVersion, $0.maxVersion) = (key.rawValue, range.lowerBound, range.upperBound) }
        }
        let isKnown = header.version <= apiVersionsMax
        response.errorCode = isKnown ? .none : .unsupportedVersion
        let encoded = encodeResponse(response, correlationID: header.correlationID, version: isKnown ? header.version : 0)
        return encoded.bytes
    }

    private func metadata() -> MetadataResponse {
        let (count, shown) = state.withLock { ($0.logs.count, $0.view) }
        let view = shown ?? View(ports: [1: port], leader: 1)
        return MetadataResponse {
            $0.controllerID = view.leader
            $0.clusterID = "fake"
            $0.brokers = view.ports.map { id, port in MetadataResponse.Broker { ($0.nodeID, $0.host, $0.port) = (id, "127.0.0.1", Int32(port)) } }
            $0.topics = [
                MetadataResponse.Topic {
                    ($0.name, $0.topicID) = (topic, topicID)
                    $0.partitions = (0..<count).map { index in
                        MetadataResponse.Partition { ($0.partitionIndex, $0.leaderID) = (Int32(index), view.leader) }
                    }
                }
            ]
        }
    }

    private func initProducerID() -> InitProducerIdResponse {
        state.withLock { state in
            defer { state.nextProducerID += 1 }
            return InitProducerIdResponse { $0.producerID = state.nextProducerID }
        }
    }

    private func listOffsets(_ request: ListOffsetsRequest) -> ListOffsetsResponse {
        let ends = state.withLock { $0.logs.map(\.nextOffset) }
        return ListOffsetsResponse {
            $0.topics = request.topics.map { asked in
                ListOffsetsResponse.Topic {
                    $0.name = asked.name
                    $0.partitions = asked.partitions.map { asked in
                        ListOffsetsResponse.Partition {
                            $0.partitionIndex = asked.partitionIndex
                            $0.offset = asked.timestamp == -2 ? 0 : ends[Int(asked.partitionIndex)]
                        }
                    }
                }
            }
        }
    }

    private func produce(_ header: RequestHeader, _ request: ProduceRequest, _ frame: Frame, _ fault: Fault?) -> [UInt8]? {
        if case .lostBefore = fault { return nil }
        var response = ProduceResponse()
        response.responses = request.topicData.map { topic in
            ProduceResponse.Topic {
                $0.name = topic.name
                $0.partitionResponses = topic.partitionData.map { part in
                    var answer = ProduceResponse.Partition()
                    answer.index = part.index
                    if case .refused(let code) = fault {
                        answer.errorCode = code
                    } else {
                        if case .amnesia = fault { state.withLock { $0.forgetProducers(Int(part.index)) } }
                        (answer.errorCode, answer.baseOffset) = append(part, frame)
                        if case .refusedAfter(let code) = fault { (answer.errorCode, answer.baseOffset) = (code, -1) }
                    }
                    return answer
                }
            }
        }
        if case .lostAfter = fault { return nil }
        return request.acks == 0 ? [] : respond(header, response, frame)
    }

    private func append(_ part: ProduceRequest.Partition, _ frame: Frame) -> (ErrorCode, Int64) {
        guard let slice = part.records else { return (.invalidRecord, -1) }
        if slice.length > batchByteCountMax { return (.messageTooLarge, -1) }
        var bytes = frame.withUnsafeBytes { Array($0[slice.offset..<(slice.offset + slice.length)]) }
        let isSound = bytes.withUnsafeBytes { try? ProducedBatch.validate($0, rules: ValidationRules(maxBytes: 1 << 24, now: .max)) }
        guard let header = isSound else { return (.corruptMessage, -1) }
        return state.withLock { state in
            let index = Int(part.index)
            if header.hasProducer {
                let recent = state.logs[index].producers[header.producerID] ?? []
                if let known = recent.first(where: { $0.sequence == header.baseSequence && $0.count == header.recordCount }) {
                    return (.none, known.offset)
                }
                // A producer of which nothing is on record may begin anywhere, as with Kafka since KIP-360; before it, one that was
                // forgotten was not taken any more.
                if let last = recent.last, header.baseSequence != RecordBatchHeader.sequence(last.sequence, advancedBy: last.count) {
                    return (.outOfOrderSequenceNumber, -1)
                }
                if recent.isEmpty, header.baseSequence != 0, state.forgotten.contains(header.producerID) { return (.unknownProducerID, -1) }
                let offset = state.logs[index].nextOffset
                let entry = (sequence: header.baseSequence, count: header.recordCount, offset: offset)
                state.logs[index].producers[header.producerID] = Array((recent + [entry]).suffix(5))
            }
            let offset = state.logs[index].nextOffset
            bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, baseOffset: offset, partitionLeaderEpoch: 0) }
            state.logs[index].batches.append(bytes)
            state.logs[index].nextOffset += Int64(header.recordCount)
            return (.none, offset)
        }
    }

    private func fetch(_ header: RequestHeader, _ request: FetchRequest) -> [UInt8] {
        var source: [UInt8] = []
        let response = state.withLock { state in
            FetchResponse {
                $0.responses = request.topics.map { asked in
                    FetchResponse.Topic {
                        ($0.topic, $0.topicID) = (asked.topic, asked.topicID)
                        $0.partitions = asked.partitions.map { asked in
                            let log = state.logs[Int(asked.partition)]
                            var part = FetchResponse.Partition()
                            (part.partitionIndex, part.highWatermark) = (asked.partition, log.nextOffset)
                            let start = source.count
                            for batch in log.batches where source.count - start < Int(asked.partitionMaxBytes) {
                                if let header = RecordBatchHeader(batch.span.bytes), header.nextOffset > asked.fetchOffset {
                                    source += batch
                                }
                            }
                            part.records = FrameSlice(offset: start, length: source.count - start)
                            return part
                        }
                    }
                }
            }
        }
        let encoded = encodeResponse(response, correlationID: header.correlationID, version: header.version)
        return encoded.joined(with: source.span.bytes)
    }
}

/// The event-loop half: requests come in whole, answers leave in order.
private final class FakeBrokerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let broker: FakeBroker
    private var assembler = FrameAssembler(byteCountMax: 1 << 26)
    private var isLost = false
    /// Answers that are late, and those behind them.
    private var waiting: [ByteBuffer] = []
    private var lastDue = NIODeadline.now()

    init(_ broker: FakeBroker) { self.broker = broker }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = Self.unwrapInboundIn(data)
        while !isLost, let frame = try? assembler.next(from: &buffer) {
            guard let (bytes, lateMs) = broker.answer(frame) else {
                isLost = true
                return context.close(promise: nil)
            }
            let answer = ByteBuffer(bytes: bytes)
            if waiting.isEmpty, lateMs == 0 {
                context.writeAndFlush(Self.wrapOutboundOut(answer), promise: nil)
            } else {
                wait(answer, lateMs, context)
            }
        }
    }

    private func wait(_ answer: ByteBuffer, _ lateMs: Int64, _ context: ChannelHandlerContext) {
        waiting.append(answer)
        lastDue = max(lastDue, .now() + .milliseconds(lateMs))
        context.eventLoop.assumeIsolated().scheduleTask(deadline: lastDue) { [self] in
            guard !isLost else { return }
            context.writeAndFlush(Self.wrapOutboundOut(waiting.removeFirst()), promise: nil)
        }
    }
}
