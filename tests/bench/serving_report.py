"""The results of serving_bench.py as tables, a picture, and a judgement of what has to hold."""
import chart
import serving_floor
import serving_workers

COLOURS = {"haproxy": "#8aa868", "single, audit off": "#4878a8", "single, fail-closed": "#c07840", "five processes": "#906890"}
OURS = ("single, audit off", "single, fail-closed", "five processes")


def us(value):
    return f"{value:.0f} µs" if value < 10_000 else f"{value / 1000:.0f} ms" if value < 10_000_000 else f"{value / 1e6:.1f} s"


def share(case, name, what):
    base = case["rows"].get("nginx")
    return case["rows"][name][what] / base[what] if base and base[what] else None


def figure(value):
    return "-" if value is None else f"{value:.2f}"


def cost(row, per):
    return ["-", "-"] if row["rss_kib"] == 0 else [f"{row['cpu_us'] / per:.1f} µs", f"{row['switches'] / per:.2f}"]


def rate_table(case):
    rows = [[name, figure(share(case, name, "per_second")), f"{r['per_second']:.0f}", us(r["latency_p50_us"]), us(r["latency_p99_us"]),
             us(r["latency_max_us"]), *cost(r, 1)] for name, r in case["rows"].items()]
    return chart.table(["", "of nginx", "requests/s", "p50", "p99", "max", "CPU a request", "switches"], rows)


def stream_table(case):
    rows = []
    for name, r in case["rows"].items():
        chunks = r["chunks_per_second"] / r["per_second"] if r["per_second"] else 1
        rows.append([name, figure(share(case, name, "chunks_per_second")), f"{r['chunks_per_second']:.0f}", us(r["first_byte_p50_us"]),
                     us(r["first_byte_p99_us"]), us(r["gap_p50_us"]), us(r["gap_p99_us"]), us(r["gap_max_us"]), *cost(r, chunks)])
    return chart.table(["", "of nginx", "chunks/s", "first p50", "first p99", "gap p50", "gap p99", "gap max", "CPU a chunk", "switches"], rows)


def slow_table(case, streams):
    rows = [[name, f"{r['chunks_per_second']:.0f}", us(r["latency_p50_us"]), figure(r["latency_max_us"] / r["latency_p50_us"]), us(r["first_byte_p99_us"]),
             us(r["gap_p99_us"]), *([f"{r['rss_kib'] / 1024:.0f} MiB", f"{(r['rss_kib'] - r['rss_before_kib']) / streams:.1f} KiB"]
                                    if r["rss_kib"] else ["-", "-"])] for name, r in case["rows"].items()]
    return chart.table(["", "chunks/s", "median stream", "slowest of it", "first p99", "gap p99", "RSS at most", "a stream"], rows)


def tables(report):
    lines = []
    for case in report["cases"]:
        if case["kind"] == "floor":
            continue
        lines += ["", f"**{'Open loop: ' if case['kind'] == 'open' else ''}{case['name']}**", ""]
        lines += {"stream": stream_table, "slow": lambda c: slow_table(c, report["streams"])}.get(case["kind"], rate_table)(case)
    if report["syscalls"]:
        lines += ["", f"System calls a request at 64 connections, by {report['syscalls_by']}: "
                  + ", ".join(f"{name} {n:.1f}" for name, n in report["syscalls"].items()) + "."]
    if report["idle_rss_kib"]:
        lines += rss_lines(report)
    if report["workers"]:
        lines += ["", "**Many workers**", "", *serving_workers.tables(report["workers"])]
    return lines + ["", *(f"Note: {note}." for note in report["notes"])]


def rss_lines(report):
    return ["", "RSS after the first requests: " + ", ".join(f"{name} {kib / 1024:.1f} MiB" for name, kib in report["idle_rss_kib"].items() if kib) + ".",
            "Gateway, router, cache and audit of the five processes together: "
            + ", ".join(f"{when} {kib / 1024:.1f} MiB" for when, kib in report["mesh_rss_kib"].items()) + "."]


def floors(report):
    lines = ["", *serving_floor.tables(report["steps"])]
    for case in (c for c in report["cases"] if c["kind"] == "floor"):
        lines += ["", f"**{case['name'].capitalize()}**", "", *(stream_table(case) if "streams" in case["name"] else rate_table(case))]
    return lines + parts_table(report)


def parts_table(report):
    """Whose the added time of one connection is, and the CPU of a request at 64."""
    found = serving_floor.Floors(report)
    one, many = (next((c["rows"] for c in report["cases"] if c["kind"] == "closed" and c["name"].startswith(n)), {}) for n in ("1 ", "64 "))
    relayed, rows = found.rows("64 connections"), []
    for name in OURS:
        parts = found.parts(name)
        if parts is None or not {name, "direct"} <= set(one) or name not in many:
            continue
        added, relay = one[name]["latency_p50_us"] - one["direct"]["latency_p50_us"], "three relays" if name == "five processes" else "relay"
        rows.append([name, us(added), us(parts[0]), us(parts[1]), us(round(added - sum(parts))), f"{many[name]['cpu_us']:.1f} µs", f"{relayed[relay]['cpu_us']:.1f} µs" if relay in relayed else "-"])
    head = ["", "1 connection: added p50", "of it hops", "disk", "the rest", "64 connections: CPU a request", "a relay's"]
    return ["", *chart.table(head, rows)] if rows else []


class Judge:
    """What has to hold: rows of what, wanted, measured, whether it does, and what the machine alone takes. What was not measured has no row."""

    def __init__(self, report):
        self.report, self.rows, self.floors = report, [], serving_floor.Floors(report)

    def case(self, kind, beginning=""):
        return next((c for c in self.report["cases"] if c["kind"] == kind and c["name"].startswith(beginning)), None)

    def at_most(self, what, bound, value, unit="", floor=None):
        digits = 0 if bound >= 100 else 1 if bound >= 20 else 2
        self.rows.append([what, f"≤ {bound:.{digits}f}{unit}", f"{value:.{digits}f}{unit}", "yes" if value <= bound else "**no**",
                          "" if floor is None else f"{floor:.{digits}f}{unit}"])

    def at_least(self, what, bound, value, floor=None):
        self.rows.append([what, f"≥ {bound:.2f}", f"{value:.2f}", "yes" if value >= bound else "**no**", "" if floor is None else f"{floor:.2f}"])

    def closed(self):
        one, many, most = self.case("closed", "1 "), self.case("closed", "64"), self.case("closed", "1,000")
        if one is None:
            return
        base = one["rows"]["direct"]["latency_p50_us"]
        added = {name: row["latency_p50_us"] - base for name, row in one["rows"].items()}
        for name, times, extra in zip(OURS, (1.2, 1.5, 3), (0, self.report["fdatasync_us"], self.report["fdatasync_us"])):
            if name in added:
                wait = f" + fdatasync ({extra:.0f} µs)" if extra else ""
                self.at_most(f"{name}, 1 connection: added p50, {times:g} × nginx's ({added['nginx']:.0f} µs){wait}", times * added["nginx"] + extra,
                             added[name], " µs", self.floors.one(name))
        for name, bound in zip(OURS, (0.5, 0.4, 0.35)):
            if name in many["rows"]:
                self.at_least(f"{name}, 64 connections: requests/s of nginx", bound, share(many, name, "per_second"), self.floors.share(name))
        growth = {name: row["cpu_us"] / many["rows"][name]["cpu_us"] for name, row in most["rows"].items() if name in many["rows"] and row["rss_kib"]}
        for name in OURS:
            if name in growth:
                self.at_most(f"{name}: CPU a request at 1,000 connections, of that at 64 (nginx {figure(growth.get('nginx'))})", 1.3, growth[name])
        for when, bound in (("idle", 20), ("64 connections", 40)):
            self.at_most(f"gateway, router, cache, audit, RSS: {when}", bound, self.report["mesh_rss_kib"][when] / 1024, " MiB")

    def cached(self):
        case = self.case("cached")
        for name, bound in zip(OURS, (0.8, 0.8, 0.5)):
            if case and name in case["rows"]:
                self.at_least(f"{name}, cached answers: requests/s of nginx's proxied", bound, share(case, name, "per_second"))

    def stream(self):
        fast, paced = self.case("stream", "64 streams of 64 chunks, at once"), self.case("stream", "64 streams of 64 chunks, one each")
        if fast is None:
            return
        for name in OURS:
            if name in fast["rows"]:
                self.at_least(f"{name}, streams at once: chunks/s of nginx", 0.5, share(fast, name, "chunks_per_second"))
        base = paced["rows"]["direct"]["first_byte_p99_us"]
        added = {name: row["first_byte_p99_us"] - base for name, row in paced["rows"].items()}
        for name in OURS:
            if name in added:
                self.at_most(f"{name}, streams at a pace: added first chunk p99, 3 × nginx's", 3 * added["nginx"], added[name], " µs", self.floors.first_chunk(name))
                row = paced["rows"][name]
                late = max(row["first_byte_p99_us"], row["gap_p99_us"] - self.report["pace_us"])
                self.at_most(f"{name}, streams at a pace: latest chunk p99, no step of 40 ms", 40_000, late, " µs")

    def slow(self):
        case = self.case("slow")
        for name in OURS if case else ():
            if name not in case["rows"]:
                continue
            row = case["rows"][name]
            self.at_most(f"{name}, {case['name']}: slowest of the median", 1.5, row["latency_max_us"] / row["latency_p50_us"])
            self.at_most(f"{name}, {case['name']}: RSS", 250, row["rss_kib"] / 1024, " MiB")
            self.at_most(f"{name}, {case['name']}: RSS a stream", 20, (row["rss_kib"] - row["rss_before_kib"]) / self.report["streams"], " KiB")

    def workers(self):
        few, many = serving_workers.COUNTS
        for load, base_us, times in serving_workers.growth(self.report["workers"]):
            self.at_most(f"gateway, router, cache, audit, {load}: CPU a request at {many:,} workers, of that at {few}", 1.1, times, floor=self.floors.many_workers(base_us, load))

    def table(self):
        self.closed()
        self.cached()
        self.stream()
        self.slow()
        self.workers()
        return chart.table(["what has to hold", "wanted", "measured", "holds", "the machine alone"], self.rows) if self.rows else []


def text(report):
    load = ", ".join(f"{v:.1f}" for v in report["load_before"])
    head = [f"{report['machine']}; load of the machine {load} when it was begun; medians of {report['rounds']} interleaved "
            f"round{'s' * (report['rounds'] > 1)} of {report['seconds']:g} s each{', a short look (--quick)' if report['quick'] else ''}"
            + (f"; fdatasync of a record there: {report['fdatasync_us']:.0f} µs." if "fdatasync_us" in report else ".")]
    return "\n".join(head + tables(report) + floors(report) + ["", *Judge(report).table()])


def svg(report):
    groups = []
    for case in report["cases"]:
        what = "chunks_per_second" if case["kind"] == "stream" else "per_second"
        if case["kind"] in ("closed", "stream", "cached", "large") and "nginx" in case["rows"]:
            bars = [("", share(case, name, what), colour) for name, colour in COLOURS.items() if name in case["rows"]]
            groups.append((case["name"].replace(" connections", "").replace("64 streams of 64 chunks", "streams"), bars))
    return chart.bars("Requests a second (streams: chunks) as a share of nginx's", groups, 1400, list(COLOURS.items()))


BEGIN, END = "<!-- written by ./dev bench serving --docs -->", "<!-- end of what is written -->"


def write_docs(report, docs):
    """The figures between their two marks; the words around them are people's."""
    page = docs / "performance.md"
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text(report)}\n\n![requests a second as a share of nginx's](img/serving.svg)\n\n{END}{after}")
    (docs / "img/serving.svg").write_text(svg(report))
