"""How close reading and checking come to decoding alone: `python benchmarks/readers.py`.

The floor is Pillow's decoding of the same files into arrays, and for the check a hash of the bytes as well.
Times are CPU time of the process on one thread; ratios are of paired rounds, with the range over the rounds.
"""

import argparse
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from infraspot.data import list_images, open_dataset, read_image, write_grey, write_mask
from infraspot.data.checking import find_flaws
from infraspot.data.inspection import inspect


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


def decode_and_hash(root: Path) -> None:
    """The least that a check has to do: decode each image and its mask, and hash their bytes."""
    for folder in ("images", "masks"):
        for path in sorted((root / folder).iterdir()):
            with Image.open(path) as image:
                blake2b(np.asarray(image).data, digest_size=16).digest()


def check(root: Path) -> None:
    """What `infraspot data check` does, on one thread."""
    reader = open_dataset(root)
    find_flaws(reader, [inspect(reader, index) for index in range(len(reader))])


def seconds(work: Callable[[Path], None], path: Path) -> float:
    """CPU time of the process."""
    start = time.process_time()
    work(path)
    return time.process_time() - start


def one_round(root: Path) -> list[float]:
    """CPU seconds of each kind of work over the whole set."""
    return [
        seconds(decode_alone, root / "images"),
        seconds(decode_alone, root / "masks"),
        seconds(read_folder, root / "images"),
        seconds(read_samples, root),
        seconds(decode_and_hash, root),
        seconds(check, root),
    ]


def ranged(values: NDArray[np.float64], form: str) -> str:
    """The median, and the range in brackets."""
    return f"{np.median(values):{form}} [{values.min():{form}}, {values.max():{form}}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for bits in (8, 16):
        with TemporaryDirectory() as name:
            root = Path(name)
            make_set(root, options.images, bits)
            rows = np.array([one_round(root) for _ in range(options.rounds)])
        images, masks, folder, samples, least, checked = rows.T
        per_image = 1e3 / options.images
        print(f"decode_ms_{bits}_bits={ranged(images * per_image, '.2f')}")
        print(f"folder_ms_{bits}_bits={ranged(folder * per_image, '.2f')}")
        print(f"folder_ratio_to_decoding_{bits}_bits={ranged(folder / images, '.2f')}")
        print(f"data_set_ratio_to_decoding_{bits}_bits={ranged(samples / (images + masks), '.2f')}")
        print(f"decode_and_hash_ms_a_pair_{bits}_bits={ranged(least * per_image, '.2f')}")
        print(f"check_ms_a_pair_{bits}_bits={ranged(checked * per_image, '.2f')}")
        print(f"check_ratio_to_decoding_and_hashing_{bits}_bits={ranged(checked / least, '.2f')}")


if __name__ == "__main__":
    main()
