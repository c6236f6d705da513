import Testing

@testable import Coordinators

/// Regular expressions for topic names.
@Suite struct ConsumerPatternTests {
    private func matches(_ pattern: String, _ name: String) throws -> Bool {
        var steps = TopicPattern.stepsMax
        return try TopicPattern(pattern).matches(name, stepsLeft: &steps)
    }

    @Test(arguments: [
        ("orders", "orders", true), ("orders", "orders2", false), ("orders", "my-orders", false), ("orders-.*", "orders-eu", true),
        ("^orders$", "orders", true), ("a|b.c", "a", true), ("a|b.c", "b.c", true), ("a|b.c", "a.c", false), ("(a|b)+", "abba", true),
        ("[a-c]{2,3}", "ab", true), ("[a-c]{2,3}", "abca", false), ("[a-c]{2,}", "abcabc", true), ("a{0}b", "b", true), ("x{2}", "xx", true),
        ("[^a-z]+", "123", true), ("[^a-z]+", "12a", false), ("[]a]+", "]a", true), ("[a-]+", "a-", true), ("a{,2}", "a{,2}", true),
        ("\\d+\\.\\w+", "12.a_", true), ("\\D*", "ab-", true), ("[\\d.]+", "1.2", true), ("[[:alpha:]]+", "aZ", true), ("[[:^alpha:]]", "7", true),
        ("\\pL+\\p{Nd}", "ab1", true), ("\\P{Lu}+", "ab", true), ("\\P{Lu}+", "aB", false), ("\\p{^Lu}", "a", true), ("\\p{Greek}?a", "a", true),
        ("\\Qa.b\\E", "a.b", true), ("\\Qa.b\\E", "axb", false), ("\\Qab\\E+", "abbb", true), ("\\x61\\x{62}\\143", "abc", true),
        ("(?i)Orders", "oRDERS", true), ("(?i:a)b", "Ab", true), ("(?i:a)b", "AB", false), ("(a(?i)b)c", "aBc", true), ("(a(?i)b)c", "aBC", false),
        ("(?P<name>a)(?<other>b)", "ab", true), ("(?:ab)*?", "abab", true), ("a+?b??", "aa", true), ("", "", true), ("", "a", false),
        ("a||b", "", true), ("(|a)+", "aaa", true), ("(a*)*b", "aaab", true), ("\\ba\\b.*", "a-b", true), ("a\\Bb", "ab", true), ("a\\bb", "ab", false),
        ("\\Aab\\z", "ab", true), ("a^b", "ab", false), ("ä|a", "a", true), (".", "-", true), ("(?-i:A)", "A", true), ("(?s-i)A.", "Ab", true),
    ]) func aPatternMatchesWholeNames(pattern: String, name: String, isMatch: Bool) throws {
        #expect(try matches(pattern, name) == isMatch)
    }

    @Test(arguments: [
        "(", ")", "a)", "[", "[]", "[z-a]", "*", "+a", "a**", "a*+", "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?>a)", "\\1", "(a)\\1", "\\", "\\y",
        "a{2,1}", "a{1001}", "(?P<>a)", "(?P<a b>a)", "(?i", "(?x)a", "\\p{Nonsense}", "\\x", "\\x{", "\\x{110000}", "[[:nonsense:]]", "\\pX",
        "(((a{100}){100}){100})", "((((){1000}){1000}){1000}){1000}", "[a", "\\p{", "(?-)", "a|*",
    ]) func whatIsNoPatternIsRefused(pattern: String) {
        #expect(throws: TopicPattern.Malformed.self) { try TopicPattern(pattern) }
    }

    @Test func nestingAndLengthAreBounded() {
        #expect(throws: TopicPattern.Malformed.self) { try TopicPattern(String(repeating: "(", count: 5_000) + String(repeating: ")", count: 5_000)) }
        #expect(throws: TopicPattern.Malformed.self) { try TopicPattern(String(repeating: "a", count: TopicPattern.bytesMax + 1)) }
        #expect(throws: Never.self) { try TopicPattern(String(repeating: "(", count: 150) + String(repeating: ")", count: 150)) }
    }

    /// Each of these takes a backtracking matcher longer than the universe has been there.
    @Test(arguments: ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(a?){60}a{60}b", "(.*)*(.*)*(.*)*b", "((a*)*)*b"])
    func noPatternTakesMoreStepsThanItsLengthTimesTheNames(pattern: String) throws {
        let compiled = try TopicPattern(pattern)
        var steps = TopicPattern.stepsMax
        #expect(try !compiled.matches(String(repeating: "a", count: 249), stepsLeft: &steps))
        #expect(TopicPattern.stepsMax - steps < 249 * 1_000)
    }

    @Test func matchingGivesUpWhenItsStepsAreSpent() throws {
        let compiled = try TopicPattern("(a?){900}(a?){900}")
        var steps = 10_000
        #expect(throws: TopicPattern.TooCostly.self) { try compiled.matches(String(repeating: "a", count: 249), stepsLeft: &steps) }
    }

    @Test func randomPatternsMatchWhatSwiftsDo() throws {
        var random = RandomSource.seeded(7)
        var compared = 0
        for _ in 0..<400 {
            let pattern = randomPattern(depth: 3, &random)
            let regex = try Regex(pattern)
            for _ in 0..<12 {
                let name = String((0..<Int.random(in: 0...6, using: &random)).map { _ in "abc".randomElement(using: &random) ?? "a" })
                #expect(try matches(pattern, name) == (name.wholeMatch(of: regex) != nil), "\(pattern) on \(name)")
                compared += 1
            }
        }
        #expect(compared == 4_800)
    }

    private func randomPattern(depth: Int, _ random: inout RandomSource) -> String {
        let leaf = ["a", "b", "c", ".", "[ab]", "[^a]", "\\w"].randomElement(using: &random) ?? "a"
        guard depth > 0 else { return leaf }
        let first = randomPattern(depth: depth - 1, &random)
        switch Int.random(in: 0..<7, using: &random) {
        case 0: return "(?:\(first)|\(randomPattern(depth: depth - 1, &random)))"
        case 1: return first + randomPattern(depth: depth - 1, &random)
        case 2: return "(?:\(first))*"
        case 3: return "(?:\(first))+"
        case 4: return "(?:\(first))?"
        case 5: return "(?:\(first)){1,2}"
        default: return leaf
        }
    }
}
