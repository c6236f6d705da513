import Foundation
import Store

/// A store in a directory of its own, without a broker before it.
struct TemporaryStore {
    let store: Store
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "lmbroker-test-\(UUID().uuidString)")
        var options = StoreOptions()
        options.mapByteCount = 1 << 30
        store = try Store.open(directory: directory.path, options: options)
    }

    func close() {
        store.close()
        try? FileManager.default.removeItem(at: directory)
    }
}

/// Runs `body` on a thread of its own, where it may block without keeping tasks from running.
func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}
