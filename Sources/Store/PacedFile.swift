internal import Dispatch
internal import Glibc
internal import LMDB
internal import Synchronization

/// A file that LMDB writes a copy to, no faster than it is told: at full speed a copy takes the disk from everyone who waits for a sync.
struct PacedFile {
    let descriptor: Int32
    let path: String
    let bytesPerSecond: Int

    /// What is written at one time.
    private static let pieceByteCount = 1 << 20

    private final class Outcome: Sendable {
        let error = Mutex<LMDBError?>(nil)
        let isThere = DispatchSemaphore(value: 0)
    }

    /// Has LMDB write into a pipe on a thread of its own, and puts what comes out into the file.
    func copy(_ environment: Environment, compacting: Bool) throws(StoreError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .lastCall("making a pipe") }
        let (source, sink) = (ends[0], ends[1])
        defer { close(source) }
        let outcome = Outcome()
        DispatchQueue.global().async {
            do throws(LMDBError) { try environment.copy(to: sink, compacting: compacting) } catch { outcome.error.withLock { $0 = error } }
            close(sink)
            outcome.isThere.signal()
        }
        let written = fill(from: source)
        outcome.isThere.wait()
        if let error = outcome.error.withLock({ $0 }) { throw .system("copying the store to \(path): \(error)") }
        try written.get()
    }

    /// Takes everything out of the pipe, also after a failure: LMDB knows no other end.
    private func fill(from source: Int32) -> Result<Void, StoreError> {
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceByteCount, alignment: 4096)
        defer { piece.deallocate() }
        let start = ContinuousClock.now
        var total = 0
        var result = Result<Void, StoreError>.success(())
        while let count = Self.fill(piece, from: source), count > 0 {
            guard case .success = result else { continue }
            do throws(StoreError) { try write(UnsafeRawBufferPointer(rebasing: piece[..<count])) } catch { result = .failure(error) }
            total += count
            let early = start + .seconds(Double(total) / Double(bytesPerSecond)) - .now
            if early > .zero { usleep(UInt32(clamping: Int(early / .microseconds(1)))) }
        }
        return result
    }

    /// How many bytes came: fewer than there is room for at the end only. Nil where the pipe cannot be read.
    private static func fill(_ piece: UnsafeMutableRawBufferPointer, from source: Int32) -> Int? {
        var count = 0
        while count < piece.count {
            let more = read(source, piece.baseAddress?.advanced(by: count), piece.count - count)
            if more == 0 { break }
            if more < 0 {
                if errno == EINTR { continue }
                return nil
            }
            count += more
        }
        return count
    }

    private func write(_ piece: UnsafeRawBufferPointer) throws(StoreError) {
        var done = 0
        while done < piece.count {
            let more = Glibc.write(descriptor, piece.baseAddress?.advanced(by: done), piece.count - done)
            if more < 0 {
                if errno == EINTR { continue }
                throw .lastCall("writing \(path)")
            }
            done += more
        }
    }
}
