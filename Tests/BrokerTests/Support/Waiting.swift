import Testing

/// Looks again and again while `condition` holds, and fails where it still does after a minute: what is awaited comes at once or never.
func wait(
    while condition: @autoclosure () async throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while try await condition() {
        try #require(ContinuousClock.now < end, "what is awaited has not come", sourceLocation: sourceLocation)
        await Task.yield()
    }
}
