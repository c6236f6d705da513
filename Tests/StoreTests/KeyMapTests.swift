import Testing

@testable import Store

@Suite struct KeyMapTests {
    @Test func theHashIsSipHash() {
        let hash = KeyHash(key: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
        // The published results for 0, 1 and 15 bytes 00 01 02 …
        let expected: [(Int, UInt64, UInt64)] = [
            (0, 0xe6a8_25ba_047f_81a3, 0x9302_55c7_1472_f66d), (1, 0x44af_996b_d8c1_87da, 0x45fc_229b_1159_7634),
            (15, 0x11a8_b033_99e9_9354, 0xd9c3_cf97_0fec_087e),
        ]
        for (count, low, high) in expected {
            let found = (0..<UInt8(count)).map { $0 }.withUnsafeBytes { hash.of($0) }
            #expect(found.low == low && found.high == high, "\(count) bytes")
        }
    }

    @Test(arguments: 1...UInt64(4))
    func itHoldsTheLastOffsetOfEachKey(seed: UInt64) {
        var random = Seeded(seed)
        var map = KeyMap(byteCountMax: 1 << 20)
        var model: [String: Int64] = [:]
        for offset in 0..<Int64(20_000) {
            let key = "key-\(Int.random(in: 0..<8_000, using: &random))"
            #expect(Array(key.utf8).withUnsafeBytes { map.put($0, at: offset) })
            model[key] = offset
        }
        for index in 0..<9_000 {
            let key = "key-\(index)"
            #expect(Array(key.utf8).withUnsafeBytes { map.offset(of: $0) } == model[key] ?? -1)
        }
        #expect(map.count == model.count)
    }

    @Test(arguments: [0, 5_000, 100_000, 1 << 20])
    func itNeverTakesMoreMemoryThanItMay(limit: Int) {
        var map = KeyMap(byteCountMax: limit)
        var count = 0
        while Array("\(count)".utf8).withUnsafeBytes({ map.put($0, at: Int64(count)) }) {
            count += 1
            #expect(map.byteCount <= max(limit, 16 * KeyMap.entryByteCount))
        }
        // What is in it stays, and can be moved on to a later offset.
        #expect(count >= 14 && count * KeyMap.entryByteCount * 4 >= limit)
        #expect(Array("0".utf8).withUnsafeBytes { map.put($0, at: Int64(count)) })
        #expect(Array("0".utf8).withUnsafeBytes { map.offset(of: $0) } == Int64(count))
    }
}
