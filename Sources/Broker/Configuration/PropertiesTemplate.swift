/// The commented properties file that `config/lmbroker.properties` is: every key with its meaning, default and values.
public enum PropertiesTemplate {
    public static var text: String {
        var lines = [
            "# lmbroker's configuration: every key, commented out with its default. Kafka's names where Kafka has one.",
            "# Read by `lmbroker --config FILE`; `--set NAME=VALUE` on the command line wins over the file.",
            "# Keys marked [dynamic] can also be altered while the broker runs (kafka-configs, any admin client);",
            "# such values are kept in the store and win over the file.",
        ]
        for section in ConfigurationKey.Section.allCases {
            lines += ["", "# ---- \(section.rawValue) ----"]
            for key in BrokerKeys.all where key.section == section { lines += [""] + entry(key) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func entry(_ key: ConfigurationKey) -> [String] {
        let mark = key.scope == .dynamic ? " [dynamic]" : ""
        var lines = wrapped(key.documentation + mark)
        lines.append("# Accepted: \(key.type.accepted)." + (key.topicName.map { " Topic config: \($0)." } ?? ""))
        lines.append("#\(key.name)=\(key.defaultValue ?? "")")
        return lines
    }

    private static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        var line = "#"
        for word in text.split(separator: " ") {
            if line.count + word.count + 1 > 110 {
                lines.append(line)
                line = "#"
            }
            line += " " + word
        }
        return lines + [line]
    }
}
