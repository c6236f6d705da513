import KafkaProtocol

/// One field as a version of a message carries it.
struct Spelled {
    var name: String
    var type: String
    var tag: UInt32?
    /// Of a structure, or of an array's elements.
    var children: [Spelled]
    /// What stands in the fresh structure before the field is read.
    var initial = ""
}

/// Spells the fields of one structure at one version. It knows types and order from the listing; for the names each
/// field is given a value of its own (a number, a length, a count), which is then looked up in the structure.
struct Speller: WireFormat {
    let version: Int16
    let flexible: Bool
    /// Which of the structure's truth values is made true, all others false.
    let loud: Int
    private(set) var items: [(serial: Int, spelled: Spelled)] = []
    private(set) var endsWithTags = false
    private(set) var flags = 0
    private var serial = 5
    private var pendingTag: UInt32?

    init(version: Int16, flexible: Bool, loud: Int = -1) {
        self.version = version
        self.flexible = flexible
        self.loud = loud
    }

    private mutating func note(_ type: String, _ children: [Spelled] = []) -> Int {
        serial += 1
        items.append((serial, Spelled(name: "", type: type, tag: pendingTag, children: children)))
        endsWithTags = false
        return serial
    }

    mutating func bool(_ value: inout Bool) {
        value = flags == loud
        // Found by its turn to be loud.
        _ = note("bool")
        items[items.count - 1].serial = -1 - flags
        flags += 1
    }
    mutating func int8(_ value: inout Int8) { value = Int8(note("int8")) }
    mutating func int16(_ value: inout Int16) { value = Int16(note("int16")) }
    mutating func uint16(_ value: inout UInt16) { value = UInt16(note("uint16")) }
    mutating func int32(_ value: inout Int32) { value = Int32(note("int32")) }
    mutating func int64(_ value: inout Int64) { value = Int64(note("int64")) }
    mutating func uuid(_ value: inout Uuid) { value = Uuid(high: 0, low: UInt64(note("uuid"))) }
    mutating func string(_ value: inout String) { value = String(repeating: "x", count: note("string")) }
    mutating func string(_ value: inout String?) { value = String(repeating: "x", count: note("string?")) }
    mutating func slice(_ value: inout FrameSlice?) { value = FrameSlice(offset: 0, length: note("records?")) }
    mutating func bytes(_ value: inout [UInt8]) { value = .init(repeating: 0, count: note("bytes")) }
    mutating func bytes(_ value: inout [UInt8]?) { value = .init(repeating: 0, count: note("bytes?")) }
    mutating func error(_ value: inout ErrorCode) { value = ErrorCode(rawValue: Int16(note("error"))) }

    mutating func array<E: Fields>(_ value: inout [E]) { value = elements("") }
    mutating func array<E: Fields>(_ value: inout [E]?) { value = elements("?") }

    private mutating func elements<E: Fields>(_ mark: String) -> [E] {
        var children = spell(E.self, version: version, flexible: flexible)
        var type = "struct"
        if children.count == 1, children[0].name.isEmpty {
            type = children[0].type
            children = []
        }
        return .init(repeating: E(), count: note("[\(type)]\(mark)", children))
    }

    mutating func optional<M: Fields>(_ value: inout M?) {
        var present = M()
        present.fields(&self)
        // Its own fields were noted as if they were inline; they become its children, found under its name.
        value = present
        let children = spell(M.self, version: version, flexible: flexible)
        let inline = children.count
        let first = items.count - inline
        let at = items[first].serial
        items.removeSubrange(first...)
        items.append((at, Spelled(name: "", type: "struct?", tag: nil, children: children)))
    }

    mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M, default: M) {
        guard flexible else { return }
        pendingTag = tag
        defer { pendingTag = nil }
        let before = items.count
        value.fields(&self)
        let children = spell(M.self, version: version, flexible: flexible)
        guard let first = children.first, !first.name.isEmpty else { return }
        let at = items[before].serial
        items.removeSubrange(before...)
        items.append((at, Spelled(name: "", type: "struct", tag: tag, children: children)))
    }

    mutating func tags() { endsWithTags = true }
}

/// The fields of `M` in wire order, tagged ones last.
func spell<M: Fields>(_: M.Type, version: Int16, flexible: Bool) -> [Spelled] {
    func run(loud: Int) -> (Speller, [(path: String, value: Leaf)]) {
        var speller = Speller(version: version, flexible: flexible, loud: loud)
        let message = M { $0.fields(&speller) }
        return (speller, leaves(of: message, at: ""))
    }
    let (speller, named) = run(loud: -1)
    let initial = Dictionary(leaves(of: M(), at: "").map { ($0.path, $0.value) }, uniquingKeysWith: { first, _ in first })
    let quiet = Set(named.filter { $0.value == .flag(true) }.map(\.path))
    var fields = speller.items.map { serial, spelled in
        var spelled = spelled
        let path: String?
        if serial < 0 {
            path = run(loud: -1 - serial).1.first { $0.value == .flag(true) && !quiet.contains($0.path) }?.path
        } else {
            path = named.first { $0.value == .serial(serial) }?.path
        }
        guard let path else { return spelled }
        spelled.name = spelled.type.hasPrefix("struct") ? String(path.prefix { $0 != "." }) : path
        spelled.initial = initial[path].map(\.text) ?? ""
        if spelled.type.hasPrefix("struct") { spelled.initial = "" }
        return spelled
    }
    // A structure that forgets its tags breaks every client of a flexible version.
    if flexible, !speller.endsWithTags, fields.contains(where: { !$0.name.isEmpty }) {
        fields.append(Spelled(name: "?", type: "tags missing", children: []))
    }
    return fields
}

/// Whether every structure of `M` that ends in tags does so where it should: at the end.
func endsWithTags<M: Fields>(_: M.Type, version: Int16) -> Bool {
    var speller = Speller(version: version, flexible: true)
    var message = M()
    message.fields(&speller)
    return speller.endsWithTags
}

/// A value that a speller has left in a structure.
enum Leaf: Equatable {
    /// A number, a length or a count.
    case serial(Int)
    case flag(Bool)

    /// As a default in the grammar; what is zero or empty goes without saying.
    var text: String {
        switch self {
        case .serial(0), .flag(false): ""
        case .serial(Int(Int32.max)): "= max"
        case .serial(Int(Int32.min)): "= min"
        case .serial(let number): "= \(number)"
        case .flag(let flag): "= \(flag)"
        }
    }
}

private func leaves(of value: Any, at path: String) -> [(path: String, value: Leaf)] {
    switch value {
    case let value as Bool: return [(path, .flag(value))]
    case let value as any FixedWidthInteger: return [(path, .serial(Int(value)))]
    case let value as String: return [(path, .serial(value.utf8.count))]
    case let value as Uuid: return [(path, .serial(Int(value.low)))]
    case let value as ErrorCode: return [(path, .serial(Int(value.rawValue)))]
    case let value as FrameSlice: return [(path, .serial(value.length))]
    default: break
    }
    let mirror = Mirror(reflecting: value)
    switch mirror.displayStyle {
    case .collection: return [(path, .serial(mirror.children.count))]
    case .optional: return mirror.children.first.map { leaves(of: $0.value, at: path) } ?? []
    default:
        return mirror.children.flatMap { leaves(of: $0.value, at: path.isEmpty ? $0.label ?? "" : "\(path).\($0.label ?? "")") }
    }
}
