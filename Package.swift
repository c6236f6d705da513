// swift-tools-version: 6.2
import PackageDescription

/// Language modes shared by every target; `STRICT` adds the check that each unsafe step is marked.
let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
let strict = common + [.strictMemorySafety()]

let package = Package(
    name: "lmbroker",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "lmbroker", targets: ["lmbroker"]),
        // For programs that speak to any Kafka cluster; the protocol's types are part of its interface.
        .library(name: "KafkaClient", targets: ["KafkaClient", "KafkaProtocol"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
    ],
    targets: [
        .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CSnappy", providers: [.apt(["libsnappy-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CISAL", providers: [.apt(["libisal-dev"])]),

        .target(name: "LMDB", dependencies: ["CLMDB"], swiftSettings: strict),
        .target(name: "KafkaProtocol", dependencies: ["CZstd", "CLZ4", "CSnappy", "CZlib", "CISAL"], swiftSettings: strict),
        .target(
            name: "Store",
            dependencies: ["LMDB", "KafkaProtocol", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: common),
        .target(
            name: "Coordinators",
            dependencies: ["KafkaProtocol", .product(name: "HeapModule", package: "swift-collections")],
            swiftSettings: strict),
        .target(
            name: "Broker",
            dependencies: [
                "Coordinators", "KafkaProtocol", "Store",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: common),
        .target(
            name: "KafkaClient",
            dependencies: [
                "KafkaProtocol",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: common),
        .executableTarget(
            name: "lmbroker",
            dependencies: [
                "Broker", "CMalloc", "KafkaClient", "KafkaProtocol", "Store",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            swiftSettings: common),

        .testTarget(name: "TidyTests", swiftSettings: common),
        .testTarget(name: "KafkaProtocolTests", dependencies: ["KafkaProtocol"], exclude: ["grammar.txt"], swiftSettings: common),
        .testTarget(
            name: "CoordinatorsTests",
            dependencies: ["Coordinators", "KafkaProtocol", .product(name: "HeapModule", package: "swift-collections")], swiftSettings: common),
        .testTarget(name: "LMDBTests", dependencies: ["LMDB"], swiftSettings: common),
        .testTarget(name: "StoreTests", dependencies: ["Store", "KafkaProtocol", "LMDB"], swiftSettings: common),
        .testTarget(
            name: "BrokerTests", dependencies: ["Broker", "KafkaProtocol", "Store", .product(name: "Logging", package: "swift-log")],
            swiftSettings: common),
        .testTarget(
            name: "KafkaClientTests",
            dependencies: [
                "Broker", "Coordinators", "KafkaClient", "KafkaProtocol", "Store", "lmbroker",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: common),
    ]
)
