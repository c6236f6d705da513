import Foundation
import LMDB
import Testing

@testable import Store

/// A snapshot that is held for long is told once, with what it holds, and once more when it is gone.
@Suite struct ReaderWatchTests {
    private let directory: TemporaryDirectory
    private let environment: Environment
    private let data: Database
    private static let second: UInt64 = 1_000_000_000

    init() throws {
        directory = try TemporaryDirectory()
        let path = directory.subdirectory("watched")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        environment = try Environment(path: path, options: .init(mapByteCount: 1 << 26))
        var transaction = try environment.begin()
        data = try transaction.database("data")
        try transaction.commit()
    }

    private func commit(_ change: (inout Transaction) throws -> Void) throws {
        var transaction = try environment.begin()
        try change(&transaction)
        try transaction.commit()
    }

    private func overwrite(_ byte: UInt8) throws {
        try commit { try $0.put("large", [UInt8](repeating: byte, count: 64 * 4096 - 16), in: data) }
    }

    @Test func aStoreMayBeToldNeverToWarn() throws {
        var options = smallOptions()
        options.readerWarningMs = .max
        let store = try Store.open(directory: directory.subdirectory("store"), options: options)
        #expect(store.state == .serving)
        store.close()
    }

    @Test func aSnapshotHeldForLongIsToldOnceAndOnceMoreWhenItEnds() throws {
        var watch = ReaderWatch(ageNsMax: 60 * Self.second)
        try overwrite(1)
        var reader = try environment.snapshot()
        #expect(watch.look(environment, nowNs: 100 * Self.second) == nil)
        #expect(watch.ageNs(200 * Self.second) == 0, "what sees the last commit holds nothing, however long")

        try overwrite(2)
        #expect(watch.look(environment, nowNs: 200 * Self.second) == nil)
        #expect(watch.look(environment, nowNs: 259 * Self.second) == nil)
        #expect(watch.ageNs(259 * Self.second) == 59 * Self.second)
        let told = watch.look(environment, nowNs: 260 * Self.second)
        let warning = try #require(told)
        #expect(warning.severity == .warning)
        #expect(warning.message.contains("this broker (a backup of its own) has held one snapshot for 60 s"))
        let held = try environment.freePages().heldCount
        #expect(held >= 64)
        #expect(warning.message.contains("keeps \(held) freed pages"))
        #expect(watch.look(environment, nowNs: 300 * Self.second) == nil, "told already")

        reader.park()
        let gone = watch.look(environment, nowNs: 310 * Self.second)
        let end = try #require(gone)
        #expect(end.severity == .info)
        #expect(end.message.contains("after 110 s"))
        #expect(watch.look(environment, nowNs: 400 * Self.second) == nil)
        #expect(watch.ageNs(400 * Self.second) == 0)
    }

    @Test func snapshotsThatMoveOnAreNeverOld() throws {
        var watch = ReaderWatch(ageNsMax: 60 * Self.second)
        try overwrite(0)
        var reader = try environment.snapshot()
        for step in 1...20 {
            try overwrite(UInt8(step))
            #expect(watch.look(environment, nowNs: UInt64(step) * 50 * Self.second) == nil)
            reader.park()
            try reader.renew()
        }
    }
}
