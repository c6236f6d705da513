import KafkaClient
import Testing

struct Murmur2Tests {
    /// From Kafka's own UtilsTest.testMurmur2.
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ])
    func hashesAsKafkaDoes(key: String, expected: Int32) {
        let hash = Array(key.utf8).withUnsafeBytes { Murmur2.hash($0) }
        #expect(Int32(bitPattern: hash) == expected)
    }

    @Test func choosesAPartitionByThePositiveHash() {
        let partition = Array("foobar".utf8).withUnsafeBytes { Murmur2.partition(of: $0, partitionCount: 16) }
        #expect(partition == Int(UInt32(bitPattern: -790_332_482) & 0x7fff_ffff) % 16)
    }

    @Test func theEmptyKeyHasAPartition() {
        #expect(Murmur2.partition(of: UnsafeRawBufferPointer(start: nil, count: 0), partitionCount: 7) < 7)
    }
}
