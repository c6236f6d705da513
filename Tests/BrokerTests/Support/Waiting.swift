import Testing

/// Looks again and again while `condition` holds, and fails where it still does after a minute: what is awaited comes at once or never.
func wait(
    while condition: @autoclosure () async throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let end = ContinuousClock.now + .seconds(60)
    var isLate = false
    while try await condition() {
        try #require(!isLate, "what is awaited has not come", sourceLocation: sourceLocation)
        await Task.yield()
        // Known before the last look, since other tests may keep this one waiting between the two.
        isLate = ContinuousClock.now > end
    }
}
