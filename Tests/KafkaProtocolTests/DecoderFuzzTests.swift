import KafkaProtocol
import Testing

/// Frames that lie. Nothing here may crash, and every refusal is a `WireError`.
@Suite struct DecoderFuzzTests {
    private static let keys = allRequests.map { $0.key }

    private func type(_ key: ApiKey) throws -> any Request.Type { try #require(allRequests.first { $0.key == key }) }

    /// True if the frame was read as a request (or a response), false if it was refused.
    private func request<R: Request>(_: R.Type, _ bytes: [UInt8]) -> Bool {
        let frame = Frame(bytes)
        do throws(WireError) {
            let (header, request) = try openRequest(R.self, frame)
            // What was read is within what was there: no element out of nothing.
            let again = encodeRequest(request, correlationID: 0, clientID: header.clientID, version: header.version)
            #expect(again.byteCount <= bytes.count * 4 + 64)
            return true
        } catch {
            return false
        }
    }

    private func response<R: Request>(_: R.Type, _ version: Int16, _ bytes: [UInt8]) -> Bool {
        let frame = Frame(bytes)
        do throws(WireError) {
            let response = try decodeResponse(R.self, version: version, frame.span)
            #expect(encodeResponse(response, correlationID: 0, version: version).byteCount <= bytes.count * 4 + 64)
            return true
        } catch {
            return false
        }
    }

    @Test(arguments: keys) func aFrameCutShortAnywhereIsRefused(key: ApiKey) throws {
        func check<R: Request>(_: R.Type) {
            for version in R.versions {
                let sample = Sample(R.self, version: version, seed: 99)
                for length in 0..<sample.request.count { #expect(!request(R.self, Array(sample.request[..<length]))) }
                for length in 0..<sample.response.count { #expect(!response(R.self, version, Array(sample.response[..<length]))) }
            }
        }
        try check(type(key))
    }

    @Test(arguments: keys) func flippedBytesAreReadOrRefused(key: ApiKey) throws {
        func check<R: Request>(_: R.Type) {
            var random = SplitMix(state: UInt64(R.key.rawValue))
            for version in R.versions {
                let sample = Sample(R.self, version: version, seed: 5)
                for _ in 0..<60 {
                    var bytes = sample.request
                    for _ in 0..<Int.random(in: 1...4, using: &random) {
                        bytes[Int.random(in: 4..<bytes.count, using: &random)] = .random(in: 0 ... .max, using: &random)
                    }
                    _ = request(R.self, bytes)
                    bytes = sample.response
                    bytes[Int.random(in: 4..<max(5, bytes.count), using: &random) % bytes.count] = .random(in: 0 ... .max, using: &random)
                    _ = response(R.self, version, bytes)
                }
            }
        }
        try check(type(key))
    }

    @Test(arguments: keys) func lyingCountsAreReadOrRefused(key: ApiKey) throws {
        let lies: [[UInt8]] = [
            [0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff, 0x0f], [0x80, 0, 0, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            [0, 0, 1, 0],
        ]
        func check<R: Request>(_: R.Type) {
            for version in R.versions {
                let sample = Sample(R.self, version: version, seed: 17)
                for lie in lies {
                    for at in stride(from: 8, to: sample.request.count, by: 3) {
                        _ = request(R.self, Array((sample.request[..<at] + lie + sample.request[at...])))
                        _ = request(R.self, Array(sample.request[..<at] + lie))
                    }
                    for at in stride(from: 4, to: sample.response.count, by: 3) {
                        _ = response(R.self, version, Array(sample.response[..<at] + lie + sample.response[at...]))
                    }
                }
            }
        }
        try check(type(key))
    }

    @Test(arguments: keys) func garbageIsReadOrRefused(key: ApiKey) throws {
        func check<R: Request>(_: R.Type) {
            var random = SplitMix(state: 1000 + UInt64(R.key.rawValue))
            for version in R.versions {
                let header: [UInt8] = [0, UInt8(R.key.rawValue), 0, UInt8(version), 0, 0, 0, 1, 0xff, 0xff, 0]
                for _ in 0..<60 {
                    // Small numbers are likelier to be believed.
                    let limit: UInt8 = Bool.random(using: &random) ? 3 : .max
                    let body = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...limit, using: &random) }
                    _ = request(R.self, header + body)
                    _ = response(R.self, version, [0, 0, 0, 1, 0] + body)
                }
            }
        }
        try check(type(key))
    }

    @Test func aCountBeyondTheFrameCostsNothing() throws {
        // Produce 12 with 2^32 − 2 topics.
        let frame = Frame([0, 0, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f])
        #expect(throws: WireError.truncated) { try openRequest(ProduceRequest.self, frame) }
    }

    @Test func aFrameFullOfEmptyStringsIsRefusedBeyondALimit() throws {
        func frame(keys: Int) -> Frame {
            // FindCoordinator 4; the count is a compact one of four bytes.
            let count = UInt32(keys + 1)
            var bytes: [UInt8] = [0, 10, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0, 0]
            for shift in [0, 7, 14] as [UInt32] { bytes.append(UInt8(count >> shift & 0x7f) | 0x80) }
            bytes.append(UInt8(count >> 21))
            bytes += [UInt8](repeating: 1, count: keys)
            return Frame(bytes + [0])
        }
        let most = Reader.elementBytesMax / MemoryLayout<String>.stride
        #expect(try openRequest(FindCoordinatorRequest.self, frame(keys: most / 32)).1.coordinatorKeys.count == most / 32)
        #expect(throws: WireError.truncated) { try openRequest(FindCoordinatorRequest.self, frame(keys: most + 1)) }
    }

    @Test func anUnknownKeyOrVersionStillHasAHeader() throws {
        let unknown = Frame([3, 231, 0, 9, 0, 0, 0, 42, 0, 2, 0x61, 0x62, 0xde, 0xad])
        let header = try RequestHeader(unknown.span)
        #expect(header.key.rawValue == 999 && header.version == 9 && header.correlationID == 42 && header.clientID == "ab")
        #expect(!header.key.isKnown && header.key.name == "API_999")

        let frame = Frame([0, 18, 0, 99, 0, 0, 0, 42, 0xff, 0xff, 0, 1, 2, 3])
        let newest = try RequestHeader(frame.span)
        #expect(newest.key == .apiVersions && newest.clientID == nil && newest.byteCount == 11)
        #expect(throws: WireError.unsupportedVersion) {
            try decodeRequest(ApiVersionsRequest.self, newest, frame.span)
        }
    }

    @Test func unknownTaggedFieldsAreSkipped() throws {
        // Heartbeat 4, an unknown tag 5 in the header and the tags 0 and 300 in the body.
        let frame = Frame(
            [0, 12, 0, 4, 0, 0, 0, 1, 0, 1, 0x63, 1, 5, 2, 9, 9] + [2, 0x67, 0, 0, 0, 3, 2, 0x6d, 0]
                + [2, 0, 1, 7, 0xac, 0x02, 3, 1, 2, 3])
        let (header, request) = try openRequest(HeartbeatRequest.self, frame)
        #expect(header.clientID == "c" && header.byteCount == 16)
        #expect(request.groupID == "g" && request.generationID == 3 && request.memberID == "m" && request.groupInstanceID == nil)
    }

    @Test func unknownTagsBetweenKnownOnesAreSkipped() throws {
        // ApiVersions 3 response: no keys, throttle 0, tags 1 (epoch 5), 2 skipped as empty, 9 unknown.
        let frame = Frame([0, 0, 0, 1] + [0, 0, 1, 0, 0, 0, 0] + [3, 1, 8, 0, 0, 0, 0, 0, 0, 0, 5, 2, 1, 1, 9, 2, 0xaa, 0xbb])
        let response = try decodeResponse(ApiVersionsRequest.self, version: 3, frame.span)
        #expect(response.finalizedFeaturesEpoch == 5 && response.finalizedFeatures.isEmpty)
    }

    @Test func aTaggedFieldThatIsNotAsLongAsItSaysIsRefused() {
        let frame = Frame([0, 0, 0, 1] + [0, 0, 1, 0, 0, 0, 0] + [1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0])
        #expect(throws: WireError.truncated) { try decodeResponse(ApiVersionsRequest.self, version: 3, frame.span) }
    }
}
