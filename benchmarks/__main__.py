"""`python -m benchmarks`: print the table. Times are medians, ratios are medians of ratios within a round."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy and torch read them


def main():
    import torch

    from benchmarks.rows import ROWS

    torch.set_num_threads(1)
    print("One thread. ratio: quantlab's time / the peer's; bound: the most that the tests allow.\n")
    print(f"{'work':46s} {'peer':12s} {'quantlab':>10s} {'peer':>10s} {'ratio':>8s} {'bound':>8s}")
    for make in ROWS:
        row = make()
        for peer, seconds in row.times.seconds.items():
            if peer != "quantlab":
                bound = f"{row.bounds[peer]:8.3f}" if peer in row.bounds else ""
                own = f"{row.times.seconds['quantlab'] * 1e3:7.1f} ms {seconds * 1e3:7.1f} ms"
                print(f"{row.name:46s} {peer:12s} {own} {row.ratio(peer):8.3f} {bound:>8s}")


if __name__ == "__main__":
    main()
