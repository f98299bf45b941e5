#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mutants of the CUDA sources: do the row tests notice a mistake?

usage: mutants.py BUILD [--each 3] [--seed 1] [--only REGEX] [--host] [--jobs 2] [--list] [--check]

At seeded random sites of every kernel and device function of kernels/cuda/*.cu, *.cuh and train/*.cu (--host: of the launchers
instead) one small mistake is made at a time; the file is
compiled under the execution shim (checked), linked with the others into a plugin of its own, and the tests of tests/cuda that
concern the file run on it until one fails. A mutant whose object code is the same as the original's, or that does not compile, is
drawn again. Exit 1 when fewer than 95 % are caught; with --check also when a survivor is not argued in docs/mutants.md (a line
that holds its id). BUILD is a tree with tests (tools/build.sh)."""
import argparse, concurrent.futures, hashlib, json, os, random, re, shutil, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WANTED = 0.95


def functions(text):
    """(name, start, end, is_kernel) of bodies at file scope; comments and strings are blanked first."""
    for m in re.finditer(r"^[A-Za-z][^\n;={}()]*?\b(\w+)\(([^{};]*)\)\s*\{", text, re.M):
        yield from body(text, m)
    for m in re.finditer(r"^  (?:static )?__device__[^\n;={}()]*?\b(\w+)\(([^{};]*)\)\s*(?:const )?\{", text, re.M):
        yield from body(text, m)


def body(text, m):
    depth, i = 1, m.end()
    while depth and i < len(text):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        i += 1
    head = text[m.start():m.end()]
    name = m.group(1)
    owner = re.findall(r"struct (\w+(?:<\w+>)?) \{", text[:m.start()]) if head.startswith("  ") else None
    name = "%s::%s" % (owner[-1], name) if owner else name
    kind = "kernel" if "__global__" in head or "__global__" in text[max(0, m.start() - 60):m.start()] and "template" in text[max(0, m.start() - 60):m.start()] else \
        "device" if "__device__" in head else "host"
    yield name, m.end(), i - 1, kind, head


def blank(text):
    """Comments, strings and preprocessor lines as blanks of the same length."""
    def spaces(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    text = re.sub(r"/\*.*?\*/|//[^\n]*", spaces, text, flags=re.S)
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', spaces, text)
    return re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*", spaces, text, flags=re.M)


def close_of(text, i):
    """Index of the bracket that closes the one at i."""
    pair = {"(": ")", "[": "]"}[text[i]]
    depth = 0
    for j in range(i, len(text)):
        depth += (text[j] == text[i]) - (text[j] == pair)
        if depth == 0:
            return j
    return -1


def split(text, i, j):
    """(start, end) of each argument between two brackets."""
    out, depth, a = [], 0, i
    for k in range(i, j):
        depth += (text[k] in "([{") - (text[k] in ")]}")
        if text[k] == "," and depth == 0:
            out.append((a, k))
            a = k + 1
    return out + [(a, j)]


def sites(text, start, end, head):
    """Every (operator, from, to, replacement) inside a body."""
    out = []

    def each(op, pattern, make):
        for m in re.finditer(pattern, text[start:end]):
            r = make(m)
            if r is not None and r != m.group(0):
                out.append((op, start + m.start(), start + m.end(), r))

    for m in re.finditer(r"(?<=[\w\])])\[", text[start:end]):
        i = start + m.start()
        j = close_of(text, i)
        before = text[text.rfind("\n", 0, i):i]
        if j > 0 and not re.search(r"\b(__shared__|float|double|int|unsigned|int32_t|int64_t|uint64_t)\s+\w+(\[\w+\])*$", before) and "__shared__" not in before:
            inner = text[i + 1:j]
            out.append(("index + 1", i, j + 1, "[(%s) + 1]" % inner))
            out.append(("index - 1", i, j + 1, "[(%s) - 1]" % inner))
    each("dropped barrier", r"__syncthreads\(\);|__syncwarp\(\);", lambda m: ";")
    each("dropped wait", r"CUDA_TRY\(d, cuda(?:StreamWaitEvent|EventSynchronize|StreamSynchronize|EventRecord)\(", lambda m: m.group(0).replace("CUDA_TRY(d, ", "(void)sizeof("))
    each("boundary", r" (<|<=|>|>=) ", lambda m: " %s " % {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}[m.group(1)])
    each("negated test", r" (==|!=) ", lambda m: " %s " % {"==": "!=", "!=": "=="}[m.group(1)])
    each("lost mask", r"\bWARP_ALL\b|0xffffffffu", lambda m: "0x0000ffffu")
    for m in re.finditer(r" (&&|\|\|) ", text[start:end]):
        i = start + m.start()
        rest = re.match(r"(?:[\w.\->]+(?:\[[^\]]*\])?|\d+)(?: [<>=!]=? ?[\w.\->]+(?:\[[^\]]*\])?(?: [-+] [\w.\->]+)?)?", text[i + 4:end])
        if rest:
            out.append(("lost condition", i, i + 4 + rest.end(), ""))
    for m in re.finditer(r"\bif \(", text[start:end]):
        i = start + m.end() - 1
        j = close_of(text, i)
        out.append(("lost mask", i, j + 1, "(true || (%s))" % text[i + 1:j]))
    each("swapped sum", r" (\+|-) (?!=)", lambda m: " %s " % {"+": "-", "-": "+"}[m.group(1)])
    each("swapped product", r" (\*|/) (?!=)(?!const)", lambda m: " %s " % {"*": "+", "/": "*"}[m.group(1)])
    each("dropped term", r" [-+] (?:[A-Za-z_][\w.\->]*(?:\[[^\]\[]*\])?)(?! ?[*/(\[])", lambda m: "")
    each("dropped factor", r" [*] (?:[A-Za-z_][\w.\->]*(?:\[[^\]\[]*\])?)(?![(\[\w])", lambda m: "")
    each("store instead of add", r" (\+=|\|=) ", lambda m: " = ")
    each("narrowed type", r"\bdouble\b", lambda m: "float")
    each("minimum for maximum", r"\bfmaxf\b|\bfminf\b|\bwarp_max\b", lambda m: {"fmaxf": "fminf", "fminf": "fmaxf", "warp_max": "warp_sum"}[m.group(0)])
    # (no shared memory at a launch is not a constant to get wrong: more of it changes nothing)
    each("wrong constant", r"(?<![\w.\[])(?<!\), )(\d+)(?![\w.])", lambda m: str({0: 1, 1: 0}.get(int(m.group(1)), int(m.group(1)) - 1)))
    each("lost block", r"cuda_blocks\((?:[^()]|\([^()]*\))*\)", lambda m: "(%s - 1)" % m.group(0))
    for m in re.finditer(r"CUDA_RUN\(", text[start:end]):
        i = start + m.end() - 1
        args = split(text, i + 1, close_of(text, i))
        for (a, b), (c, e) in zip(args[5:], args[6:]):
            out.append(("swapped arguments", a, e, text[c:e].strip() + ", " + text[a:b].strip()))
    each("wrong constant", r"-INFINITY", lambda m: "0.0f")
    names = [n for n in re.findall(r"\bint(?:32|64)_t (\w+)", head) if n]
    for a in names:
        others = [b for b in names if b != a]
        if others:
            each("swapped stride", r"(?<![\w.>])%s\b(?!\()" % a, lambda m: others[(m.start() * 7) % len(others)])
    each("dropped statement", r"\n\s+[\w\[\]\->.*+ ()%/]+ (?:=|\+=|\*=|-=) [^;{}]+;", lambda m: "\n;" if not re.match(r"\s*(?:const |static |unsigned |int|float|double|uint|struct|bool)", m.group(0)) else None)
    return out


class Plan:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        with open(os.path.join(self.build, "compile_commands.json")) as f:
            rows = [r for r in json.load(f) if "cudasim_plugin_checked_objects" in r.get("output", r["command"])]
        self.compile, self.objects = {}, {}
        for r in rows:
            name = os.path.basename(r["file"])
            command = re.sub(r" -(?:MD|MT \S+|MF \S+)", "", r["command"])
            self.objects[name] = os.path.join(r["directory"], re.search(r" -o (\S+)", r["command"]).group(1))
            self.compile[name] = re.sub(r" -o \S+ -c \S+", "", command)
        if not rows:
            sys.exit("mutants: %s holds no build of the plugin under the shim; run tools/build.sh on it first" % build)
        self.types = os.path.join(self.build, "tests/cudasim/CMakeFiles/cudasim_types.dir/__/__/kernels/kernel.c.o")
        self.sources = {}
        for folder in ("kernels/cuda", "train"):
            for f in sorted(os.listdir(os.path.join(ROOT, folder))):
                if f.endswith((".cu", ".cuh")):
                    self.sources[f] = os.path.join(ROOT, folder, f)
        self.text = {f: open(p).read() for f, p in self.sources.items()}

    def includers(self, header):
        hit = [f for f, t in self.text.items() if '#include "%s"' % header in t]
        return sorted({u for f in hit for u in ([f] if f.endswith(".cu") else self.includers(f))})

    def units(self, f):
        return [f] if f.endswith(".cu") else self.includers(f)

    def tests(self, f):
        """Programs that concern the file: of the same name first, then those of everything that includes it."""
        out = []
        for u in self.units(f):
            own = os.path.join(self.build, "tests", "cuda_%s_test" % u[:-3])
            out += [own] if os.path.exists(own) else []
        if f in ("memory.cu", "cuda_plugin.cu"):
            out = [os.path.join(self.build, "tests", t) for t in ("cuda_move_test", "cuda_reduce_test", "cuda_attention_test")]
        return out

    def candidates(self, f):
        text = blank(self.text[f])
        for name, start, end, kind, head in functions(text):
            yield name, kind, sites(text, start, end, head)


class Worker:
    def __init__(self, plan, n):
        self.plan, self.dir = plan, os.path.join(plan.build, "mutants", str(n))
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        for f, p in plan.sources.items():
            shutil.copy(p, self.dir)
        for f in os.listdir(os.path.join(ROOT, "kernels/cuda")):
            if f.endswith(".h"):
                shutil.copy(os.path.join(ROOT, "kernels/cuda", f), self.dir)
        self.clean = {}

    def object(self, unit, out, plain=False):
        """plain: without hooks and their source positions, optimised: equal code is an equal program."""
        command = self.plan.compile[unit].split(" ", 1)
        extra = "-fno-sanitize=all -O2" if plain else ""
        line = "%s -I%s %s %s -g0 -frandom-seed=1 -w -o %s -c %s" % (command[0], self.dir, command[1], extra, out, os.path.join(self.dir, unit))
        return subprocess.run(line, shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def code(self, path):
        return hashlib.sha256(open(path, "rb").read()).hexdigest()

    def original(self, unit):
        if unit not in self.clean:
            path = os.path.join(self.dir, "clean_" + unit + ".o")
            if not self.object(unit, path, True):
                sys.exit("mutants: %s does not compile as it is" % unit)
            self.clean[unit] = self.code(path)
        return self.clean[unit]

    def plugin(self, replaced):
        objects = [replaced.get(u, o) for u, o in self.plan.objects.items()]
        so = os.path.join(self.dir, "retort-cuda.so")
        lib = os.path.join(self.plan.build, "tests/cudasim")
        line = ["g++", "-shared", "-o", so] + objects + [self.plan.types, "-L" + lib, "-lcudasim", "-Wl,-rpath," + lib]
        subprocess.run(line, check=True)
        return so

    def run(self, so, tests):
        env = dict(os.environ, RETORT_CUDA=so, RETORT_CUDASIM_STEPS=str(1 << 21))
        for t in tests:
            env["RETORT_CUDA_WORK"] = "100000" if "attention" in t else "9000" if "reduce" in t else "4000000"
            try:
                r = subprocess.run([t], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, cwd=self.dir)
            except subprocess.TimeoutExpired:
                return "time"
            if r.returncode:
                said = r.stdout.decode(errors="replace")
                m = re.search(r"^cudasim: ([a-z ]+):", said, re.M)
                return m.group(1) if m else "values" if r.returncode > 0 else "signal"
        return None

    def try_one(self, f, site):
        """None: no mutant; else ('caught', by) or ('survived', '')."""
        op, a, b, new = site
        text, path = self.plan.text[f], os.path.join(self.dir, f)
        units = self.plan.units(f)
        for u in units:
            self.original(u)
        with open(path, "w") as out:
            out.write(text[:a] + new + text[b:])
        try:
            replaced, differs = {}, False
            for u in units:
                o = os.path.join(self.dir, u + ".o")
                if not self.object(u, o, True):
                    return None
                differs |= self.code(o) != self.original(u)
                replaced[u] = o
            if not differs or not all(self.object(u, replaced[u]) for u in units):
                return None
            by = self.run(self.plugin(replaced), self.plan.tests(f))
            return ("caught", by) if by else ("survived", "")
        finally:
            with open(path, "w") as out:
                out.write(text)


def name_of(plan, f, fn, site):
    """Stable as long as the line and the mistake stay: file:function, operator, the line before and after."""
    op, a, b, new = site
    text = plan.text[f]
    lo, hi = text.rfind("\n", 0, a + (text[a] == "\n")) + 1, text.find("\n", b)
    line, after = text[lo:hi].strip(), (text[lo:max(lo, a)] + new + text[b:hi]).strip()
    key = hashlib.sha256(("%s|%s|%s|%s|%s" % (f, fn, op, line, after)).encode()).hexdigest()[:8]
    return key, text.count("\n", 0, a) + 1, line, after


def one_function(worker, plan, f, fn, kind, options, each, seed):
    rng = random.Random("%d/%s/%s" % (seed, f, fn))
    by_op = {}
    for s in options:
        by_op.setdefault(s[0], []).append(s)
    done, used, tries = [], set(), 0
    while len(done) < each and by_op and tries < 40: # another operator each time as long as there is one
        tries += 1
        fresh = [o for o in sorted(by_op) if o not in used] or sorted(by_op)
        op = rng.choice(fresh)
        site = by_op[op].pop(rng.randrange(len(by_op[op])))
        if not by_op[op]:
            del by_op[op]
        result = worker.try_one(f, site)
        if result:
            used.add(op)
            key, line, before, after = name_of(plan, f, fn, site)
            done.append((f, line, fn, kind, op, key, before, after) + result)
            print("%s %s:%d %s, %s: %s%s" % (key, f, line, fn, op, result[0], " (%s)" % result[1] if result[1] else "\n    - %s\n    + %s" % (before, after)), flush=True)
    return done


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--each", type=int, default=3)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--host", action="store_true")
    p.add_argument("--list", action="store_true")
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    plan = Plan(a.build)
    work = []
    for f in sorted(plan.sources):
        if not plan.tests(f) or not re.search(a.only, f):
            continue
        for fn, kind, options in plan.candidates(f):
            if options and (kind == "host") == a.host:
                work.append((f, fn, kind, options))
    if a.list:
        for f, fn, kind, options in work:
            print("%-24s %-28s %-7s %d sites" % (f, fn, kind, len(options)))
        return 0
    start = time.time()
    workers = [Worker(plan, os.getpid() * 10 + i) for i in range(a.jobs)]
    for w in workers[:1]: # the tests have to pass as things are
        for f in sorted({f for f, fn, kind, o in work}):
            by = w.run(os.path.join(plan.build, "cudasim-checked/retort-cuda.so"), plan.tests(f)[:1])
            if by:
                sys.exit("mutants: the tests of %s fail without any mutant (%s)" % (f, by))
    rows = []
    queue = list(enumerate(work))
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        def drain(w):
            out = []
            while queue:
                _, (f, fn, kind, options) = queue.pop(0)
                out += one_function(w, plan, f, fn, kind, options, a.each, a.seed)
            return out
        for part in pool.map(drain, workers):
            rows += part
    caught = [r for r in rows if r[8] == "caught"]
    left = [r for r in rows if r[8] != "caught"]
    share = len(caught) / len(rows) if rows else 0
    print("\n| mistake | mutants | caught |\n|---|---|---|")
    for op in sorted({r[4] for r in rows}):
        mine = [r for r in rows if r[4] == op]
        print("| %s | %d | %d |" % (op, len(mine), sum(r[8] == "caught" for r in mine)))
    by = {}
    for r in caught:
        by[r[9]] = by.get(r[9], 0) + 1
    print("caught by: " + ", ".join("%s %d" % kv for kv in sorted(by.items(), key=lambda kv: -kv[1])))
    short = [(f, fn) for f, fn, kind, o in work if sum(r[0] == f and r[2] == fn for r in rows) < a.each]
    if short:
        print("fewer than %d: %s" % (a.each, ", ".join("%s:%s" % s for s in short)))
    print("%d mutants of %d functions, %d caught (%.1f %%), %d survived, %.0f s" % (len(rows), len(work), len(caught), 100 * share, len(left), time.time() - start))
    bad = share < WANTED
    if a.check:
        argued = open(os.path.join(ROOT, "docs/mutants.md")).read()
        for r in left:
            if r[5] not in argued:
                print("mutants: %s survived (%s:%d %s, %s) and docs/mutants.md does not argue it" % (r[5], r[0], r[1], r[2], r[4]))
                bad = True
    return bad


if __name__ == "__main__":
    sys.exit(main())
