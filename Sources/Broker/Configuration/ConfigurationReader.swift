#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Darwin)
    internal import Darwin
#endif

extension ConfigurationLayers {
    /// The largest properties file read, in bytes.
    private static let fileBytesMax = 1 << 20

    /// Takes in the properties file at `path`.
    public mutating func read(file path: String) throws(ConfigurationError) {
        guard let file = fopen(path, "r") else {
            throw ConfigurationError(
                message: "\(path) cannot be read: \(String(cString: strerror(errno))). Give --config an existing file.")
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = fread(&block, 1, block.count, file)
            if count == 0 { break }
            bytes += block[..<count]
            guard bytes.count <= Self.fileBytesMax else {
                throw ConfigurationError(message: "\(path) is larger than \(Self.fileBytesMax) bytes; it is no properties file.")
            }
        }
        guard ferror(file) == 0 else { throw ConfigurationError(message: "\(path) cannot be read; is it a directory?") }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError(message: "\(path) is not UTF-8 text.")
        }
        try read(text, path: path)
    }
}
