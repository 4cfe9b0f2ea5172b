"""A step of a whole ResNet18 student in PyTorch, batches of 4, as `cargo bench --bench speed -- stpm` takes it.
python resnet18_step.py PEERS: the folder of the peers' scripts, whose encoder it takes."""
import sys
import time

sys.path.insert(0, sys.argv[1])
import torch
from destseg_torch import Encoder, l2n

torch.set_num_threads(2)
teacher, student = Encoder(3).eval(), Encoder(3).train()
optimizer = torch.optim.SGD(student.parameters(), 0.4, momentum=0.9, weight_decay=1e-4)
images, times = torch.rand(4, 3, 256, 256), []
for _ in range(8):
    start = time.time()
    with torch.no_grad():
        wanted = [l2n(level) for level in teacher(images)]
    given = [l2n(level) for level in student(images)]
    loss = sum((1 - (a * b).sum(1)).mean() for a, b in zip(wanted, given))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    times.append(time.time() - start)
print("step", sorted(times[1:])[3])
