import KafkaProtocol
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: allRequests.map { $0.key }) func everyVersionIsReadAsItWasWritten(key: ApiKey) throws {
        let type = try #require(allRequests.first { $0.key == key })
        try check(type)
    }

    private func check<R: Request>(_: R.Type) throws {
        #expect(R.Response.key == R.key)
        for version in R.versions {
            for seed in 0..<40 as Range<UInt64> {
                let sample = Sample(R.self, version: version, seed: seed)
                let frame = Frame(sample.request)
                let (header, request) = try openRequest(R.self, frame)
                #expect(header.key == R.key && header.version == version && header.correlationID == 7)
                let again = encodeRequest(request, correlationID: 7, clientID: header.clientID, version: version)
                #expect(again.joined(with: frame.span)[4...].elementsEqual(sample.request), "\(R.key) \(version) seed \(seed)")
                expectSize(again, frame)

                let answer = Frame(sample.response)
                #expect(try responseCorrelationID(answer.span) == 7)
                let response = try decodeResponse(R.self, version: version, answer.span)
                let echo = encodeResponse(response, correlationID: 7, version: version)
                #expect(echo.joined(with: answer.span)[4...].elementsEqual(sample.response), "\(R.key) \(version) seed \(seed)")
                expectSize(echo, answer)
            }
        }
    }

    /// The size prefix counts what is inserted, too.
    private func expectSize(_ encoded: Encoded, _ frame: Frame) {
        let prefix = encoded.bytes[..<4].reduce(0) { $0 << 8 | Int($1) }
        #expect(prefix == encoded.byteCount - 4 && prefix == frame.byteCount)
    }

    @Test func everyKindIsListedOnce() {
        #expect(Set(allRequests.map { $0.key }).count == allRequests.count)
        #expect(allRequests.allSatisfy { $0.key.isKnown })
    }

    @Test func aStringTooLongForAFixedLengthIsShortenedBetweenCharacters() throws {
        let request = HeartbeatRequest {
            $0.groupID = "a" + String(repeating: "é", count: 40_000)
            $0.memberID = "m"
        }
        let frame = Frame(Array(encodeRequest(request, correlationID: 1, clientID: nil, version: 3).bytes[4...]))
        let (_, read) = try openRequest(HeartbeatRequest.self, frame)
        #expect(read.groupID == "a" + String(repeating: "é", count: 16_383))
        #expect(read.memberID == "m")
    }

    /// A compact length may say more, which Kafka does not take either.
    @Test(arguments: [(32_767, true), (32_768, false), (1_000_000, false)])
    func aRequestsStringIsNoLongerThanAFixedLengthCanSay(length: Int, isRead: Bool) throws {
        let request = HeartbeatRequest { $0.groupID = String(repeating: "a", count: length) }
        let frame = Frame(Array(encodeRequest(request, correlationID: 1, clientID: nil, version: 4).bytes[4...]))
        if isRead {
            #expect(try openRequest(HeartbeatRequest.self, frame).1.groupID == request.groupID)
        } else {
            #expect(throws: WireError.truncated) { try openRequest(HeartbeatRequest.self, frame) }
        }
    }

    /// Swift sorts a row of combining marks by insertion whenever it hashes or compares the string.
    @Test(arguments: [3, 4] as [Int16], [(30, true), (31, false)])
    func aRequestsStringHasFewCombiningMarksInARow(version: Int16, marks: (count: Int, isRead: Bool)) throws {
        let row = String(String.UnicodeScalarView((0..<marks.count).map { $0 % 2 == 0 ? "\u{300}" : "\u{316}" } as [Unicode.Scalar]))
        let request = HeartbeatRequest { $0.groupID = "é" + row + "a" + row }
        let frame = Frame(Array(encodeRequest(request, correlationID: 1, clientID: nil, version: version).bytes[4...]))
        if marks.isRead {
            #expect(try openRequest(HeartbeatRequest.self, frame).1.groupID.utf8.elementsEqual(request.groupID.utf8))
        } else {
            #expect(throws: WireError.truncated) { try openRequest(HeartbeatRequest.self, frame) }
        }
        var header = encodeRequest(HeartbeatRequest(), correlationID: 1, clientID: "c" + row, version: version).bytes
        header.removeFirst(4)
        #expect(((try? openRequest(HeartbeatRequest.self, Frame(header))) != nil) == marks.isRead)
    }

    @Test func aFieldThatAVersionDoesNotCarryHasItsDefault() throws {
        let request = FetchRequest {
            $0.sessionEpoch = 3; $0.replicaState.replicaID = 5; $0.rackID = "r"
        }
        let frame = Frame(Array(encodeRequest(request, correlationID: 1, clientID: nil, version: 4).bytes[4...]))
        let (_, read) = try openRequest(FetchRequest.self, frame)
        #expect(read.sessionEpoch == -1 && read.replicaState.replicaID == -1 && read.rackID == "")
        #expect(read.maxBytes == .max)
    }

    @Test func noTopicsMeansAllInMetadataVersion0() throws {
        let frame = Frame(Array(encodeRequest(MetadataRequest(), correlationID: 1, clientID: nil, version: 0).bytes[4...]))
        #expect(Array(frame.span.bytes.suffix(4)) == [0, 0, 0, 0])
        #expect(try openRequest(MetadataRequest.self, frame).1.topics == nil)
        let none = MetadataRequest { $0.topics = [] }
        let modern = Frame(Array(encodeRequest(none, correlationID: 1, clientID: nil, version: 1).bytes[4...]))
        #expect(try openRequest(MetadataRequest.self, modern).1.topics?.isEmpty == true)
    }
}

extension RawSpan {
    var bytes: [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }
}
