"""gradus pull against huggingface_hub and curl, on the stand-in hub of tests/shell/hub.py.

    python tools/oracle/check_hub.py build/gradus [--bytes 500000000] [--kills 100]

What gradus pulled, huggingface_hub.snapshot_download finds without a byte of its own, and the reverse; so many SIGKILLs of a
pull; the rate beside that of curl: as fast as loopback gives, and from a hub that sends a little less than a GB/s. On two cores
the sum of CPU time is the limit of the former: receiving, writing, sha256 (1.4 to 2 GB/s), and what the hub takes, which gives
pages to the kernel as file servers do. Needs huggingface_hub, and curl.
"""
import argparse, filecmp, os, random, shutil, signal, statistics, subprocess, sys, tempfile, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("gradus")
parser.add_argument("--bytes", type=int, default=500_000_000)
parser.add_argument("--kills", type=int, default=100)
parser.add_argument("--folder", default=None, help="where everything lies; a file system in memory takes the disk out of the rates")
args = parser.parse_args()
gradus = os.path.abspath(args.gradus)
work = Path(tempfile.mkdtemp(dir=args.folder))
repo = work / "hub/models/org/model"
repo.mkdir(parents=True)
(repo / "config.json").write_text('{"model_type": "llama"}')
(repo / "README.md").write_text("# a model\n")
with open(repo / "model.safetensors", "wb") as f:
    left = args.bytes
    while left:
        left -= f.write(random.randbytes(min(left, 1 << 24)))
script = Path(__file__).resolve().parents[2] / "tests/shell/hub.py"
server = subprocess.Popen([sys.executable, script, work / "hub"])
while not (work / "hub/port").exists():
    time.sleep(0.05)
port, other = (work / "hub/port").read_text().split()
endpoint = f"http://127.0.0.1:{port}"
log = work / "hub/log"


def environment(cache):
    return {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def sent():
    """Bytes of files that the hub has sent since this was asked last."""
    total = sum(int(line.split()[4]) for line in log.read_text().splitlines() if "/api/" not in line)
    log.write_text("")
    return total


def pull(cache):
    return subprocess.run([gradus, "pull", "org/model", "--quiet"], env=environment(cache), check=True, capture_output=True, text=True).stdout.strip()


def by_huggingface(cache):
    code = "import huggingface_hub; print(huggingface_hub.snapshot_download('org/model'))"
    return subprocess.run([sys.executable, "-c", code], env=environment(cache), check=True, capture_output=True, text=True).stdout.strip()


def same(path):
    for name in os.listdir(repo):
        assert filecmp.cmp(repo / name, Path(path) / name, shallow=False), name


def check_oracle():
    a, b = work / "a", work / "b"
    path = pull(a)
    same(path)
    size = sum(os.path.getsize(repo / n) for n in os.listdir(repo))
    assert sent() == size
    assert by_huggingface(a) == path
    print(f"after gradus pull huggingface_hub fetches {sent()} bytes")
    path = by_huggingface(b)
    sent()
    assert pull(b) == path
    print(f"after huggingface_hub gradus pull fetches {sent()} bytes")
    subprocess.run([gradus, "pull", "--verify"], env=environment(b), check=True, capture_output=True)
    shutil.rmtree(a), shutil.rmtree(b)


def check_kills():
    cache, shown, kills = work / "c", work / "c/hub/models--org--model/snapshots", 0
    log.write_text("")
    begun = time.time()
    pull(cache)
    whole = time.time() - begun
    shutil.rmtree(cache)
    sent()
    random.seed(1)
    while kills < args.kills:
        process = subprocess.Popen([gradus, "pull", "org/model", "--quiet"], env=environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.05, 0.05 + 2 * whole / args.kills))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert not shown.exists() or not os.listdir(shown), "a partial snapshot is shown"
    same(pull(cache))
    time.sleep(1)  # the hub notes what it sent when it notices that nobody takes more
    total, most = sent(), 1.02 * args.bytes + kills * 2**20
    print(f"{kills} kills: {total} bytes sent, {total / args.bytes:.4f}x; {(total - args.bytes) / max(kills, 1) / 2**20:.3f} MiB a kill; allowed {most / args.bytes:.4f}x")
    assert total <= most
    shutil.rmtree(cache)


def check_rate(slow):
    """slow: what the hub waits after each block, as the rate at which that would be all of the time; 0: not at all."""
    rates = {"gradus": [], "curl": []}
    (work / "hub/orders").write_text(f"slow {slow} 1000000 *\n" if slow else "")
    for _ in range(5):
        begun = time.time()
        pull(work / "d")
        rates["gradus"].append(args.bytes / (time.time() - begun) / 1e6)
        shutil.rmtree(work / "d")
        begun = time.time()
        subprocess.run(["curl", "-sSL", "-o", work / "curl.out", f"{endpoint}/org/model/resolve/main/model.safetensors"], check=True)
        rates["curl"].append(args.bytes / (time.time() - begun) / 1e6)
        os.unlink(work / "curl.out")
    a, b = (statistics.median(rates[k]) for k in rates)
    print(f"{'a slower hub' if slow else 'loopback'}: gradus {a:.0f} MB/s, curl {b:.0f} MB/s: {a / b:.2f}x")


try:
    check_oracle()
    check_kills()
    check_rate(0)
    check_rate(2_500_000_000)
finally:
    server.kill()
    shutil.rmtree(work)
