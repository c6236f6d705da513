import ArgumentParser

/// `lmbroker bench`: loads any Kafka-compatible broker and says what came out of it.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure throughput and latency of a broker.",
        discussion: """
            Works with any Kafka-compatible broker, so that the same client measures all of them:

              lmbroker bench produce --size 1024 --partitions 16 --seconds 20
              lmbroker bench produce --topic filled --seconds 30 && lmbroker bench consume --topic filled
              lmbroker bench latency --rate 1000 --seconds 30 --histogram latency.hgrm
              lmbroker bench mixed --rate 50000 --broker 10.0.0.7:9092 --json

            Without --topic, a topic is made for the run and deleted after it. The first seconds (--warm-up) count for nothing. \
            A topic that is named is made where it is missing, and kept.

            Numbers of two runs are worth comparing only when the runs took turns on the same machine.
            """,
        subcommands: [BenchProduce.self, BenchConsume.self, BenchLatency.self, BenchMixed.self])
}
