"""One torch thread a test process: tests run side by side, and small networks lose by more."""

import torch

torch.set_num_threads(1)
