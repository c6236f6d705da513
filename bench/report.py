"""What bench/run prints: the table, and the verdicts on the targets."""

import statistics

KAFKA_SYNC_MS = {"p50": 0.56, "p99": 3.8}
# Client and broker share the machine: where the client burns this much of a core, the broker waits for it.
CLIENT_CORES_LIMIT = 0.85
RAW_RATIO = 0.7
# Of raw LMDB where librdkafka has a core of its own, by workload.
OWN_CORE_RATIOS = {"1kb": 0.85, "300b": 0.7}


def spread(values):
    """Median, lowest, highest."""
    return dict(median=statistics.median(values), low=min(values), high=max(values))


def gather(rounds):
    """A list of equal dictionaries of numbers as one dictionary of spreads."""
    return {name: spread([r[name] for r in rounds]) for name, value in rounds[0].items() if not isinstance(value, dict)}


def show(figure, form="{:.0f}"):
    one = lambda value: form.format(value)  # noqa: E731
    return f"{one(figure['median'])} ({one(figure['low'])}–{one(figure['high'])})"


def show_cpu(figure):
    return show(figure, "{:.2f}") + " s/GB"


class Report:
    """The printed table and the verdicts on the targets."""

    def __init__(self):
        self.verdicts = []

    def verdict(self, what, value, target, passed, note=""):
        self.verdicts.append(dict(target=what, value=value, to_reach=target, passed=bool(passed), note=note))

    def line(self, title, text):
        print(f"{title:42} {text}")

    def produce(self, work, figures, state=""):
        """One workload in one state of the file: fresh, or with its space and its page cache used before."""
        many, title = work.unit != "MB/s", f"{work.title}{state}"
        speed = show({k: v / 1e6 for k, v in figures["records_s"].items()}, "{:.2f}") if many else show(figures["mb_s"])
        self.line(title, f"{speed:>22} {work.unit:12} raw LMDB {show(figures['raw_mb_s']):>18} MB/s   "
                         f"ratio {show(figures['ratio'], '{:.2f}')}")
        self.line("", f"CPU: broker {show_cpu(figures['cpu_s_per_gb'])}, raw LMDB {show_cpu(figures['raw_cpu_s_per_gb'])}; cores: "
                      f"broker {figures['broker_cores']['median']:.2f}, client {figures['client_cores']['median']:.2f}; "
                      f"commits of {figures['commit_kb']['median']:.0f} KB; anonymous {figures['peak_mb']['high']:.0f} MB at most; "
                      f"arithmetic {show(figures['arithmetic_ms'], '{:.3f}')} ms, at best {figures['arithmetic_p10_ms']['low']:.3f}")
        bound = figures["client_cores"]["median"] >= CLIENT_CORES_LIMIT
        ratio = figures["ratio"]["median"]
        self.verdict(f"{title}: of raw LMDB", round(ratio, 2), f"≥ {RAW_RATIO}", ratio >= RAW_RATIO or bound,
                     "the client is the limit" if bound and ratio < RAW_RATIO else "")
        value = figures["records_s"]["median"] / 1e6 if many else figures["mb_s"]["median"]
        self.verdict(f"{title}: beside Kafka", round(value, 2), f"≥ {work.kafka[1]} {work.unit}", value >= work.kafka[1],
                     f"Kafka, not syncing: {work.kafka[0]}–{work.kafka[1]}")
        self.verdict(f"{title}: peak anonymous MB", round(figures["peak_mb"]["high"]), "≤ 200",
                     figures["peak_mb"]["high"] <= 200)

    def one_kilobyte(self, fresh, reused):
        """The targets that stand for the 1 KB workload alone; its CPU is judged where pages are used for the second time."""
        cpu = reused["cpu_s_per_gb"]["median"]
        self.verdict("broker CPU s per GB produced, space reused", round(cpu, 2), "≤ 0.7", cpu <= 0.7,
                     f"raw LMDB alone {reused['raw_cpu_s_per_gb']['median']:.2f}; in a fresh file broker "
                     f"{fresh['cpu_s_per_gb']['median']:.2f}, raw LMDB {fresh['raw_cpu_s_per_gb']['median']:.2f}; Kafka: 1.8–3.7")
        self.verdict("idle anonymous MB", round(fresh["idle_mb"]["high"]), "≤ 40", fresh["idle_mb"]["high"] <= 40, "Kafka: 388")

    def own_core(self, work, figures):
        """Of the two sides the one that has used up its cores is the limit."""
        self.line(f"{work.title}, own cores", f"{show(figures['mb_s']):>22} MB/s         raw LMDB {show(figures['raw_mb_s']):>18} MB/s   "
                                              f"ratio {show(figures['ratio'], '{:.2f}')}")
        client = figures["client_cores"]["median"]
        self.line("", f"librdkafka used {client:.2f} of its core, the broker {figures['broker_cores']['median']:.2f} of the others")
        ratio, least, bound = figures["ratio"]["median"], OWN_CORE_RATIOS[work.name], client >= CLIENT_CORES_LIMIT
        self.verdict(f"{work.title}, own cores: of raw LMDB", round(ratio, 2), f"≥ {least}", ratio >= least or bound,
                     "not reached: the client is the limit" if ratio < least and bound else "")

    def connections(self, figures, count):
        self.line(f"{count:,} connections, 64 KB under way on each", f"{show(figures['mb_s']):>22} MB/s; broker {show_cpu(figures['cpu_s_per_gb'])}, "
                  f"{figures['broker_cores']['median']:.2f} cores; anonymous {show(figures['peak_mb'])} MB; "
                  f"at least {figures['least_answers']['low']:.0f} answers on each")
        self.verdict(f"anonymous MB with {count:,} connections at full load", round(figures["peak_mb"]["high"]), "≤ 150",
                     figures["peak_mb"]["high"] <= 150)

    def consume(self, figures):
        for name, most in (("warm", 0.4), ("cold", 0.6)):
            part = figures[name]
            self.line(f"consume 1 KB, {name}", f"{show(part['mb_s']):>22} {'MB/s':12} raw LMDB {show(part['raw_mb_s']):>18} MB/s")
            self.line("", f"CPU: broker {show_cpu(part['cpu_s_per_gb'])}, raw LMDB {show_cpu(part['raw_cpu_s_per_gb'])}; cores: "
                          f"broker {part['broker_cores']['median']:.2f}, client {part['client_cores']['median']:.2f}; anonymous {part['peak_mb']['high']:.0f} MB at most")
            cpu = part["cpu_s_per_gb"]["median"]
            self.verdict(f"broker CPU s per GB consumed ({name})", round(cpu, 2), f"≤ {most}", cpu <= most,
                         f"raw LMDB alone {part['raw_cpu_s_per_gb']['median']:.2f}")
        self.cold(figures["cold"], figures["bare"])
        tail = figures["tail"]
        self.line("consume 1 KB, at the tail", f"{show(tail['mb_s']):>22} MB/s, while {show(tail['produced_mb_s'])} MB/s are "
                                               f"produced; both clients {tail['client_cores']['median']:.2f} cores")

    def cold(self, cold, bare):
        """Reading from the disk, beside LMDB alone; where librdkafka takes less, by two consumers that have nothing else to do."""
        of_raw, bare_of_raw = cold["of_raw"]["median"], bare["of_raw"]["median"]
        self.line("the same, two consumers, no record looked into", f"{show(bare['mb_s']):>18} MB/s, {bare_of_raw:.2f} of raw LMDB; CPU: broker "
                                                                    f"{show_cpu(bare['cpu_s_per_gb'])}")
        if of_raw >= RAW_RATIO:
            self.verdict("cold consume: of raw LMDB", round(of_raw, 2), f"≥ {RAW_RATIO}", True)
        else:
            self.verdict("cold consume, two, no record looked into: of raw LMDB", round(bare_of_raw, 2), f"≥ {RAW_RATIO}", bare_of_raw >= RAW_RATIO,
                         f"librdkafka with one fetch under way {of_raw:.2f}, {cold['of_warm']['median']:.2f} of what it takes from memory")

    def latency(self, figures, histogram):
        self.line("one 100 B record, synchronous",
                  f"p50 {show(figures['p50_ms'], '{:.2f}')} ms, p99 {show(figures['p99_ms'], '{:.2f}')} ms, p99.9 "
                  f"{show(figures['p999_ms'], '{:.2f}')} ms; raw LMDB commit p50 {figures['raw_p50_ms']['median']:.2f}, p99 "
                  f"{figures['raw_p99_ms']['median']:.2f} ms, loopback round trip {figures['trip_ms']['median']:.3f} ms")
        self.line("", f"from a bare socket: p50 {show(figures['bare_p50_ms'], '{:.2f}')} ms, p99 {show(figures['bare_p99_ms'], '{:.2f}')} ms")
        for edge, count in histogram.items():
            self.line("", f"{edge:>10} {count:6}  {'#' * max(1, count * 60 // max(histogram.values()))}")
        for name, limit in KAFKA_SYNC_MS.items():
            value = figures[f"{name}_ms"]["median"]
            self.verdict(f"synchronous record {name} ms", round(value, 3), f"≤ {limit} (Kafka, not syncing)", value <= limit)
        p50, p99 = figures["p50_ms"]["median"], figures["p99_ms"]["median"]
        alone = figures["raw_p50_ms"]["median"] + figures["trip_ms"]["median"]
        ratio = figures["bare_of_alone"]["median"]
        self.verdict("record from a bare socket: p50 of a raw commit and a round trip", round(ratio, 2), "≤ 1.25", ratio <= 1.25,
                     f"{p50 / alone:.2f} through librdkafka")
        self.verdict("synchronous record p99 of its p50", round(p99 / p50, 2), "≤ 3", p99 <= 3 * p50)

    def start(self, figures):
        self.line("start to first metadata reply", f"{show(figures, '{:.0f}'):>22} ms")
        self.verdict("start to first metadata reply ms", round(figures["median"]), "≤ 100", figures["median"] <= 100,
                     "Kafka: 2,900")

    def offsets(self, figures):
        self.line("offset commits, 100 groups, synced", f"{show(figures['commits_s']):>22} {'commits/s':12} raw LMDB "
                  f"{show(figures['raw_rows_s']):>18} rows/s   ratio {show(figures['ratio'], '{:.2f}')}")
        self.line("", f"p50 {figures['p50_ms']['median']:.2f} ms, p99 {figures['p99_ms']['median']:.2f} ms; "
                      f"{figures['per_commit']['median']:.0f} in each of {figures['lmdb_commits_s']['median']:.0f} commits/s, "
                      f"raw LMDB {figures['raw_commits_s']['median']:.0f} commits/s; cores: broker {figures['broker_cores']['median']:.2f}, "
                      f"client {figures['client_cores']['median']:.2f}")

    def rebalance(self, figures):
        self.line("rebalance, 100 members, classic", f"p50 {show(figures['classic_p50_ms'], '{:.1f}')} ms, most "
                                                     f"{figures['classic_max_ms']['high']:.1f} ms")
        self.line("rebalance, 100 members, KIP-848", f"p50 {show(figures['next_p50_ms'], '{:.1f}')} ms, most "
                  f"{figures['next_max_ms']['high']:.1f} ms; formed in {show(figures['next_formed_ms'], '{:.1f}')} ms")

    def idle_groups(self, figures):
        """Ten thousand groups that do nothing must not show in what the others get."""
        self.line("10,000 idle groups", f"{show(figures['memory_mb'], '{:.1f}')} MB anonymous; made in "
                                        f"{show(figures['made_s'], '{:.1f}')} s, start with them {show(figures['start_ms'])} ms")
        self.line("", f"produce 1 KB: {show(figures['with_mb_s'])} MB/s with them, {show(figures['without_mb_s'])} MB/s without")
        ratio = figures["ratio"]["median"]
        self.verdict("produce throughput with 10,000 idle groups, of without", round(ratio, 2), "≥ 0.9", ratio >= 0.9)
        self.verdict("anonymous MB of 10,000 idle groups", round(figures["memory_mb"]["high"], 1), "≤ 50",
                     figures["memory_mb"]["high"] <= 50)

    def transactions(self, case, figures):
        self.line(case.title, f"{show(figures['transactions_s']):>22} {'txns/s':12} raw LMDB {show(figures['raw_transactions_s']):>18} txns/s   "
                              f"ratio {show(figures['ratio'], '{:.2f}')}")
        self.line("", f"p50 {figures['p50_ms']['median']:.2f} ms, p99 {figures['p99_ms']['median']:.2f} ms; "
                      f"{figures['commits_each']['median']:.2f} commits of LMDB for each, one alone takes it "
                      f"{figures['raw_commit_ms']['median']:.2f} ms; broker {figures['broker_cores']['median']:.2f} cores")

    def read_committed(self, figures):
        self.line("consume 1 KB in transactions", f"read_committed {show(figures['committed_mb_s'])} MB/s, read_uncommitted "
                                                  f"{show(figures['uncommitted_mb_s'])} MB/s")
        ratio = figures["ratio"]["median"]
        self.verdict("read_committed consumption, of read_uncommitted", round(ratio, 2), "≥ 0.9", ratio >= 0.9)

    def clients(self, figures):
        """The bundled client is to be no slower than librdkafka where both do the same."""
        for work, row in figures.items():
            for client in ("bundled", "librdkafka"):
                one = row[client]
                self.line(f"{work}, {client}", f"{show(one['mb_s']):>22} MB/s; CPU: client {show_cpu(one['client_s_per_gb'])}, broker "
                                               f"{show_cpu(one['broker_s_per_gb'])}")
            ratio = row["ratio"]["median"]
            self.verdict(f"{work}: bundled client, of librdkafka", round(ratio, 2), "≥ 1", ratio >= 1, f"{row['ratio']['low']:.2f}–{row['ratio']['high']:.2f}")

    def scaling(self, unit, figures, least):
        """Two rows for each size; what larger sizes do to throughput, CPU and waits must not show beside the least."""
        for size, row in figures.items():
            beside = row["of_least"]
            of_least = lambda name: f"{beside[name]['median']:.2f} of {least}'s"  # noqa: E731
            self.line(f"{size:,} {unit}", f"{show(row['mb_s']):>22} MB/s, {of_least('mb_s')}; {show_cpu(row['cpu_s_per_gb'])}, {of_least('cpu_s_per_gb')}; "
                                          f"client {row['client_cores']['median']:.2f} cores; commits of {row['commit_kb']['median']:.0f} KB; anonymous {row['anonymous_mb']['high']:.0f} MB")
            self.line("", f"one record: p50 {show(row['p50_ms'], '{:.2f}')} ms, p99 {show(row['p99_ms'], '{:.2f}')} ms, {of_least('p99_ms')}; "
                          f"broker CPU {show(row['single_us'])} µs, {of_least('single_us')}")
        for name, what, sign in (("mb_s", "throughput", -1), ("p99_ms", "p99", 1), ("single_us", "broker CPU for a record", 1)):
            ratios = {size: row["of_least"][name]["median"] for size, row in figures.items()}
            equal = ratios.pop(least)
            worst = max(ratios, key=lambda size: sign * ratios[size])
            bound, passed = ("≥ 0.8", ratios[worst] >= 0.8) if sign < 0 else ("≤ 1.2", ratios[worst] <= 1.2)
            self.verdict(f"{what} at {worst:,} {unit}, of {least:,}", round(ratios[worst], 2), bound, passed,
                         f"two equal stores: {equal:.2f}")

    def print_verdicts(self):
        print("\nTargets")
        for entry in self.verdicts:
            note = f"  ({entry['note']})" if entry["note"] else ""
            print(f"  {'pass' if entry['passed'] else 'FAIL'}  {entry['target']:60} {entry['value']:>9}   {entry['to_reach']}{note}")
