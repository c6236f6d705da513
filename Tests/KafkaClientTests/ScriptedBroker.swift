import KafkaProtocol
import NIOCore
import NIOPosix
import Synchronization

@testable import KafkaClient

/// A broker of which a test says what it answers. It speaks of nothing else, and ends the connection when it is asked.
final class ScriptedBroker: Sendable {
    private struct Line: Sendable {
        var versions: ClosedRange<Int16>
        /// On the wire.
        var answer: @Sendable (RequestHeader, Frame) -> [UInt8]?
    }

    /// Requests that have come, by kind.
    let counts = Watch<[ApiKey: Int]>([:])
    /// Nothing more is read from a connection on which such a request comes.
    let deafening = Mutex<ApiKey?>(nil)
    private let script = Mutex<[ApiKey: Line]>([:])
    private let listener = Mutex<(any Channel)?>(nil)

    private init() {}

    static func start() async throws -> ScriptedBroker {
        let broker = ScriptedBroker()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(ScriptedBrokerHandler(broker)) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        broker.listener.withLock { $0 = listener }
        return broker
    }

    func stop() async { try? await listener.withLock { $0 }?.close() }

    var address: BrokerAddress { BrokerAddress(host: "127.0.0.1", port: listener.withLock { $0?.localAddress?.port } ?? 0) }

    /// - Parameter body: takes the version too; returns the record batches beside the response whose slices lie in them.
    func when<R: Request>(
        _: R.Type, versions: ClosedRange<Int16> = R.versions,
        _ body: @escaping @Sendable (R, Int16) -> (response: R.Response, batches: [UInt8])
    ) {
        let line = Line(versions: versions) { header, frame in
            guard let request = try? decodeRequest(R.self, header, frame.span) else { return nil }
            let (response, batches) = body(request, header.version)
            let encoded = encodeResponse(response, correlationID: header.correlationID, version: header.version)
            return encoded.joined(with: batches.span.bytes)
        }
        script.withLock { $0[R.key] = line }
    }

    /// Says that it is all of the cluster, and leads the only partition of the topic.
    func lead(_ topic: String) {
        let address = address
        when(MetadataRequest.self) { _, _ in
            let response = MetadataResponse {
                $0.brokers = [MetadataResponse.Broker { ($0.host, $0.port) = (address.host, Int32(address.port)) }]
                $0.topics = [
                    MetadataResponse.Topic {
                        ($0.name, $0.topicID) = (topic, Uuid(high: 1, low: 2))
                        $0.partitions = [MetadataResponse.Partition()]
                    }
                ]
            }
            return (response, [])
        }
    }

    fileprivate func answer(_ frame: Frame) -> [UInt8]? {
        guard let header = try? RequestHeader(frame.span) else { return nil }
        counts.change { $0[header.key, default: 0] += 1 }
        if header.key == .apiVersions { return versions(header) }
        return script.withLock { $0[header.key] }?.answer(header, frame)
    }

    private func versions(_ header: RequestHeader) -> [UInt8] {
        let spoken = script.withLock { $0.mapValues(\.versions) }
        let response = ApiVersionsResponse {
            $0.apiKeys = spoken.map { key, versions in
                ApiVersionsResponse.Range { ($0.apiKey, $0.minVersion, $0.maxVersion) = (key.rawValue, versions.lowerBound, versions.upperBound) }
            }
        }
        return encodeResponse(response, correlationID: header.correlationID, version: header.version).bytes
    }
}

private final class ScriptedBrokerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let broker: ScriptedBroker
    private var assembler = FrameAssembler(byteCountMax: 1 << 26)
    private var isDeaf = false

    init(_ broker: ScriptedBroker) { self.broker = broker }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = Self.unwrapInboundIn(data)
        // The kind of a request comes first in it, behind its length.
        if let key = broker.deafening.withLock({ $0 }), buffer.getInteger(at: buffer.readerIndex + 4, as: Int16.self) == key.rawValue {
            isDeaf = true
            _ = context.channel.setOption(ChannelOptions.autoRead, value: false)
        }
        if isDeaf { return }
        while let frame = try? assembler.next(from: &buffer) {
            guard let bytes = broker.answer(frame) else { return context.close(promise: nil) }
            context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
        }
    }
}
