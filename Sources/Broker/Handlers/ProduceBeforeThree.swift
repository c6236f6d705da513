internal import KafkaProtocol

/// Produce, versions 0–2, which carried message formats that Kafka 4 has dropped (KIP-724): each partition is answered
/// with UNSUPPORTED_VERSION, so that a client learns more than that its connection was closed.
extension ProduceHandler {
    func refuse(_ call: Call, _ reply: Reply) {
        guard (0...2).contains(call.header.version) else {
            return reply.close(.unsupportedVersion, "the version is not supported")
        }
        var acks: Int16 = 0
        var timeoutMs: Int32 = 0
        var topics: [ProduceRequest.Topic] = []
        do throws(WireError) {
            var reader = Reader(call.frame.span, at: call.header.byteCount, version: call.header.version, flexible: false)
            reader.int16(&acks)
            reader.int32(&timeoutMs)
            reader.array(&topics)
            try reader.finish()
        } catch {
            return reply.close("the request is malformed")
        }
        if acks == 0 { return reply.close(.unsupportedVersion, "the version is not supported") }
        var refusal = ProduceRefusalBeforeThree()
        refusal.topics = topics.map { topic in
            var answer = ProduceRefusalBeforeThree.Topic()
            answer.name = topic.name
            answer.partitions = topic.partitionData.map { partition in
                var answer = ProduceRefusalBeforeThree.Partition()
                answer.index = partition.index
                return answer
            }
            return answer
        }
        reply.send(refusal)
    }
}

/// The response of those versions: 1 adds the throttle time, 2 the time of the append.
private struct ProduceRefusalBeforeThree: Message {
    static let key = ApiKey.produce

    var topics: [Topic] = []
    var throttleTimeMs: Int32 = 0

    init() {}

    mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
        wire.int32(&throttleTimeMs, 1...)
    }

    struct Topic: Fields {
        var name = ""
        var partitions: [Partition] = []

        init() {}

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
        }
    }

    struct Partition: Fields {
        var index: Int32 = 0
        var errorCode = ErrorCode.unsupportedVersion
        var baseOffset: Int64 = -1
        var logAppendTimeMs: Int64 = -1

        init() {}

        mutating func fields(_ wire: inout some Wire) {
            wire.int32(&index)
            wire.error(&errorCode)
            wire.int64(&baseOffset)
            wire.int64(&logAppendTimeMs, 2...)
        }
    }
}
