"""The paper's network in PyTorch on a graphics card, as `cargo bench --bench speed -- WORK RUNS gpu BATCH` takes ours.
python gpu.py PEERS paper|paper1|paper2 BATCH eager|compiled f32|tf32 [DEVICE=cuda]
PEERS is the folder of the peers' scripts, whose network it takes. Prints the median of 20 runs in seconds; fails without
the card."""
import sys
import time

sys.path.insert(0, sys.argv[1])
import torch
from destseg_torch import DeSTSeg, l2n, up

WARM_UP, RUNS = 5, 20
work, batch, compiled, precise = sys.argv[2], int(sys.argv[3]), sys.argv[4] == "compiled", sys.argv[5] == "f32"
device = torch.device(sys.argv[6] if len(sys.argv) > 6 else "cuda")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not precise
# as a user who wants speed would, and as our kernels are chosen for their shapes
torch.backends.cudnn.benchmark = True

model = DeSTSeg().eval().to(device)
teacher, student, segmentation = (
    torch.compile(part) if compiled else part
    for part in (model.teacher_net, model.student_net, model.segmentation_net)
)
whole = torch.compile(model) if compiled else model
clean, corrupted = (torch.rand(batch, 3, 256, 256, device=device) for _ in range(2))
mask = (torch.rand(batch, 1, 64, 64, device=device) > 0.95).float()
optimizers = [
    torch.optim.SGD(part.parameters(), rate, momentum=0.9, weight_decay=1e-4)
    for part, rate in ((model.student_net, 0.4), (model.segmentation_net, 0.1))
]


def look():
    with torch.no_grad():
        whole(clean)[0].cpu()


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    loss.item()


def stage1():
    model.student_net.train()
    with torch.no_grad():
        wanted = [l2n(level) for level in teacher(clean)]
    given = [l2n(level) for level in student(corrupted)]
    step(optimizers[0], sum((1 - (a * b).sum(1)).mean() for a, b in zip(wanted, given)))


def stage2():
    model.student_net.eval()
    model.segmentation_net.train()
    with torch.no_grad():
        levels = zip(teacher(corrupted), student(corrupted))
        shown = torch.cat([up(-l2n(a) * l2n(b), (64, 64)) for a, b in levels], 1)
    map = segmentation(shown)
    right = map * mask + (1 - map) * (1 - mask)
    focal = (-right.clamp_min(1e-8).log() * (1 - right) ** 4).mean()
    step(optimizers[1], focal + (map - mask).abs().mean())


run, times = {"paper": look, "paper1": stage1, "paper2": stage2}[work], []
for _ in range(WARM_UP + RUNS):
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
print("median", sorted(times[WARM_UP:])[RUNS // 2])
