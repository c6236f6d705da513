/// The hash by which Kafka's own producers choose a partition for a key: 32-bit MurmurHash2 with Kafka's seed
/// (`org.apache.kafka.common.utils.Utils.murmur2`). The same key must land on the same partition whichever client
/// wrote it, so neither the seed nor the sign bit rule may ever change.
public enum Murmur2 {
    private static let seed: UInt32 = 0x9747_b28c
    private static let multiplier: UInt32 = 0x5bd1_e995

    public static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var hash = seed ^ UInt32(truncatingIfNeeded: bytes.count)
        let wholeWords = bytes.count & ~3
        var position = 0
        while position < wholeWords {
            var word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
            word = word &* multiplier
            word ^= word &>> 24
            word = word &* multiplier
            hash = hash &* multiplier
            hash ^= word
            position &+= 4
        }
        if bytes.count > wholeWords {
            var shift: UInt32 = 0
            for index in wholeWords..<bytes.count {
                hash ^= UInt32(bytes[index]) &<< shift
                shift &+= 8
            }
            hash = hash &* multiplier
        }
        hash ^= hash &>> 13
        hash = hash &* multiplier
        hash ^= hash &>> 15
        return hash
    }

    /// The partition, of `partitionCount`, that holds `key`.
    public static func partition(of key: UnsafeRawBufferPointer, partitionCount: Int) -> Int {
        Int(hash(key) & 0x7fff_ffff) % partitionCount
    }
}
