"""How close reading a folder comes to decoding alone: `python benchmarks/readers.py`.

The floor is Pillow's decoding of the same files into arrays. Ratios are of paired rounds, so that a busy
machine weighs on both sides.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from scipy import ndimage

from infraspot.data import list_images, open_dataset, read_image, write_grey, write_mask


def make_set(root: Path, count: int, bits: int, shape: tuple[int, int] = (240, 320)) -> None:
    """Clouds of correlated noise, which compress like infrared frames, each with one target."""
    rng = np.random.default_rng(0)
    for index in range(count):
        cloud = ndimage.gaussian_filter(rng.normal(size=shape), 12)
        frame = 0.4 + cloud / np.ptp(cloud) / 2 + rng.normal(0, 0.01, shape)
        mask = np.zeros(shape, bool)
        mask[100:103, 100:104] = True
        write_grey(root / "images" / f"{index}.png", frame + 0.2 * mask, bits)
        write_mask(root / "masks" / f"{index}_pixels0.png", mask)


def decode_alone(folder: Path) -> None:
    """Pillow opens and decodes every file."""
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            np.asarray(image)


def read_folder(folder: Path) -> None:
    """What `infraspot detect` does with a folder before it looks for targets."""
    for path in list_images(folder):
        read_image(path)


def read_samples(root: Path) -> None:
    """Open the data set and read every image with its mask."""
    for _ in open_dataset(root):
        pass


def seconds(work: Callable[[Path], None], path: Path) -> float:
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    results = {}
    for bits in (8, 16):
        with TemporaryDirectory() as name:
            root = Path(name)
            make_set(root, options.images, bits)
            rows = []
            for _ in range(options.rounds):
                floor = seconds(decode_alone, root / "images")
                both = floor + seconds(decode_alone, root / "masks")
                rows.append((floor, seconds(read_folder, root / "images"), both, seconds(read_samples, root)))
        floor, folder, both, samples = np.array(rows).T
        results |= {
            f"decode_ms_{bits}_bits": np.median(floor) / options.images * 1e3,
            f"folder_ms_{bits}_bits": np.median(folder) / options.images * 1e3,
            f"folder_images_per_s_{bits}_bits": options.images / np.median(folder),
            f"folder_ratio_to_decoding_{bits}_bits": np.median(folder / floor),
            f"data_set_ratio_to_decoding_{bits}_bits": np.median(samples / both),
        }
    for name, value in results.items():
        print(f"{name}={value:.3f}")


if __name__ == "__main__":
    main()
