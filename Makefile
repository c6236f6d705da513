# lmbroker. `make help` lists the targets.

# Debian packages, named here and nowhere else.
BUILD_PACKAGES := liblmdb-dev libzstd-dev liblz4-dev libsnappy-dev zlib1g-dev libisal-dev pkg-config
TEST_PACKAGES  := kcat lmdb-utils gcc libc6-dev e2fsprogs python3-venv openjdk-17-jdk-headless
BENCH_PACKAGES := librdkafka-dev lmdb-utils gcc libc6-dev

SWIFT  ?= swift
# One binary that runs without the toolchain (docs/decisions/0017), optimised as a whole when it is linked (docs/PERFORMANCE.md).
RELEASE := -c release --static-swift-stdlib --experimental-lto-mode=thin
BROKER := .build/release/lmbroker
PYTEST := .venv/bin/python -m pytest -c Tests/pytest.ini
# The conformance suites drive this binary.
export LMBROKER := $(CURDIR)/$(BROKER)
PREFIX ?= /usr/local

.DEFAULT_GOAL := build
.PHONY: help build run test test-unit test-outside soak soak-hour compaction deletion recovery bench checker seeds man docs install format format-check clean install-build install-test install-bench

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: install-build ## Build the release binary, .build/release/lmbroker
	$(SWIFT) build $(RELEASE) --product lmbroker

run: build ## Build what is missing and start the broker on 127.0.0.1:9092 with data in ./data
	$(BROKER) serve --data ./data

test: build install-test .venv/installed ## Build and run every test
	$(SWIFT) test
	$(PYTEST) Tests

test-unit: install-build ## The Swift tests alone
	$(SWIFT) test

test-outside: build install-test .venv/installed ## Foreign clients, crashes and faults alone
	$(PYTEST) Tests

soak: build install-test install-bench .venv/installed ## Ten minutes of steady load with retention, twelve of 200 mixed topics (slow)
	$(PYTEST) --slow -s Tests/Crash -k "ten_minutes or mixed_retention"

# The curve is drawn of a soak that fails, too.
soak-hour: build install-test install-bench .venv/installed ## An hour of 200 mixed topics, drawn as bench/soak.svg (slow)
	@status=0; SOAK_SECONDS=3600 $(PYTEST) --slow -s Tests/Crash -k mixed_retention || status=$$?; \
	bench/soak_curve.py .build/soak.jsonl bench/soak.svg && exit $$status

seeds: install-build ## 2,000 seeds of the producer at a broker that fails in every way, 20 of all clients through a flaky front (slow)
	$(SWIFT) build --build-tests
	for first in $$(seq 1 200 1801); do \
	LMBROKER_FIRST_SEED=$$first LMBROKER_SEEDS=200 $(SWIFT) test --skip-build --filter nothingIsLostRepeatedOrReordered || exit; done
	LMBROKER_SEEDS=20 $(SWIFT) test --skip-build --filter KafkaClientTests.Flaky

checker: build install-test .venv/installed ## Ten minutes of transactions under kills, judged (slow)
	$(PYTEST) --slow -s Tests/Crash -k checker

compaction: build install-test .venv/installed ## Five million updates of 100,000 keys, compacted under kills (slow)
	$(PYTEST) --slow -s Tests/Crash -k five_million

deletion: build install-test install-bench .venv/installed ## 20 GB deleted beside a steady producer (slow)
	$(PYTEST) --slow -s Tests/Crash -k large_deletion

recovery: build install-test install-bench .venv/installed ## 5 GB, kill -9, time to the first produce (slow)
	$(PYTEST) --slow -s Tests/Crash -k recovery

bench: build install-bench ## Throughput, latency, CPU, memory and start time beside raw LMDB (slow)
	bench/run

# The page is made by ArgumentParser's plugin from what --help is made from. As a release it would build another binary in the place of ours.
man: build ## Write the manual page, .build/lmbroker.1
	$(SWIFT) package generate-manual --configuration debug
	cp .build/plugins/GenerateManual/outputs/lmbroker/lmbroker.1 .build/lmbroker.1

# docc asks for a line for every parameter, and is not obeyed; a link that leads nowhere fails.
docs: install-build ## Write KafkaClient's documentation as a web site, .build/docs
	$(SWIFT) package dump-symbol-graph --minimum-access-level public --skip-synthesized-members
	rm -rf .build/symbols .build/docs && mkdir .build/symbols
	cp .build/*/symbolgraph/KafkaClient*.symbols.json .build/symbols/
	docc convert Sources/KafkaClient/KafkaClient.docc --additional-symbol-graph-dir .build/symbols --output-path .build/docs \
	    --fallback-display-name KafkaClient --fallback-bundle-identifier lmbroker.KafkaClient > .build/docs.log 2>&1 || { cat .build/docs.log; exit 1; }
	@! grep -A 6 "doesn't exist" .build/docs.log
	@echo "to read it: python3 -m http.server -d .build/docs, then http://localhost:8000/documentation/kafkaclient"

install: man ## Install the binary, its completion and its manual page below PREFIX (/usr/local)
	install -D -m 755 $(BROKER) $(DESTDIR)$(PREFIX)/bin/lmbroker
	install -D -m 644 .build/lmbroker.1 $(DESTDIR)$(PREFIX)/share/man/man1/lmbroker.1
	$(BROKER) --generate-completion-script bash | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lmbroker
	$(BROKER) --generate-completion-script zsh | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lmbroker
	$(BROKER) --generate-completion-script fish | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/lmbroker.fish

format: ## Format the Swift sources in place
	$(SWIFT) format -i -r -p Sources Tests Package.swift

format-check: ## Fail where the sources are not formatted
	$(SWIFT) format lint -s -r -p Sources Tests Package.swift

clean: ## Remove everything that was built
	rm -rf .build .venv

# apt is asked only for what dpkg does not have, and only through sudo where that is needed.
define install
	@missing=; for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
	    echo "installing$$missing"; \
	    if [ "$$(id -u)" = 0 ]; then as=; else as=sudo; fi; \
	    $$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -qq $$missing; fi
endef

install-build:
	$(call install,$(BUILD_PACKAGES))

install-test:
	$(call install,$(TEST_PACKAGES))

install-bench:
	$(call install,$(BENCH_PACKAGES))

.venv/installed: Tests/Conformance/requirements.txt Tests/Conformance/java/fetch_jars.py
	python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -r $<
	.venv/bin/python Tests/Conformance/java/fetch_jars.py .venv/jars
	touch $@
