"""Where each network comes from, and what the survey's Table 6 says of its size.

``paper_params`` are parameters and ``paper_flops`` what Table 6 calls FLOPs (multiply-accumulates at 256x256,
see :func:`infraspot.networks.profile.cost`). ``note`` gives the reason wherever our count differs by more
than 2 %. ``parity`` is the largest difference from the answers of the authors' program with the same weights
(random ones, carried over by the key map), as a share of the range of its answers; None where the program was
not run side by side.
"""

from dataclasses import dataclass

OWN = "Apache-2.0"
AFRESH = "Apache-2.0, written afresh; authors' program: "
NO_LICENCE = AFRESH + "no licence"


@dataclass(frozen=True)
class Sheet:
    """One network's family, source, licence, and the published figures where there are some."""

    family: str
    source: str
    licence: str = NO_LICENCE
    paper_params: float | None = None
    paper_flops: float | None = None
    note: str = ""
    parity: float | None = None


SHEETS: dict[str, Sheet] = {
    "acm": Sheet(
        "fusion",
        "Dai et al., WACV 2021",
        note="the authors' own network, at full resolution; Table 6 shows the port",
    ),
    "acm-port": Sheet(
        "fusion", "Dai et al., WACV 2021, as ported", paper_params=0.40e6, paper_flops=0.40e9, parity=2.9e-6
    ),
    "agpcnet": Sheet(
        "fusion, semantics",
        "Zhang et al., IEEE TAES 2023",
        AFRESH + "MIT",
        paper_params=0.48e6,
        paper_flops=0.41e9,
        note="Table 6's row is not this network's: the authors' program counts 12.35 M and 42.6 G",
        parity=1.4e-6,
    ),
    "alclnet": Sheet("fusion, local", "Yu et al., IEEE GRSL 2022", parity=1.8e-6),
    "alcnet": Sheet(
        "fusion, local",
        "Dai et al., IEEE TGRS 2021",
        note="the authors' own network, with local contrast; Table 6 shows the port",
    ),
    "alcnet-port": Sheet(
        "fusion",
        "Dai et al., IEEE TGRS 2021, as ported",
        paper_params=0.43e6,
        paper_flops=0.38e9,
        parity=9.0e-6,
    ),
    "compact": Sheet("own", "infraspot", OWN),
    "dnanet": Sheet(
        "fusion, local, semantics",
        "Li et al., IEEE TIP 2022",
        AFRESH + "MIT",
        paper_params=4.70e6,
        paper_flops=14.26e9,
        parity=2.1e-6,
    ),
    "fddbanet": Sheet(
        "other: frequency", "Huang et al., IEEE TGRS 2024", OWN, note="the authors' program is not public"
    ),
    "gglnet": Sheet("fusion, local", "Zhao et al., IEEE GRSL 2023", parity=2.6e-6),
    "hcfnet": Sheet(
        "fusion, local, semantics",
        "Xu et al., ICME 2024",
        AFRESH + "Apache-2.0",
        paper_params=15.29e6,
        paper_flops=23.29e9,
        note="4 % fewer FLOPs: the 1x1 of a patch branch runs before the enlargement, with the same result",
        parity=1.8e-6,
    ),
    "isnet": Sheet("fusion, edge", "Zhang et al., CVPR 2022", parity=1.5e-4),
    "mim-istd": Sheet("other: state space", "Chen et al., IEEE TGRS 2024", parity=6.6e-7),
    "mlclnet": Sheet("local", "Yu et al., Infrared Physics & Technology 2022", parity=1.5e-6),
    "mrf3net": Sheet(
        "fusion, local",
        "Zhang et al., IEEE TGRS 2024",
        paper_params=0.54e6,
        paper_flops=8.30e9,
        note="Table 6's counter misses the depthwise 7x7 (functional in the program; .08 M) and the heads for"
        " training (.09 M here)",
        parity=4.6e-7,
    ),
    "msdanet": Sheet("local", "Zhao et al., 2024", parity=1.6e-6),
    "mshnet": Sheet(
        "loss, head", "Liu et al., CVPR 2024", paper_params=4.07e6, paper_flops=6.08e9, parity=4.5e-7
    ),
    "mtunet": Sheet(
        "semantics",
        "Wu et al., IEEE TGRS 2023",
        AFRESH + "MIT",
        paper_params=8.22e6,
        paper_flops=6.20e9,
        note="Table 6's counter misses the learnt positions (1.05 M): bare parameters",
        parity=7.4e-7,
    ),
    "rpcanet": Sheet("other: unfolding", "Wu et al., WACV 2024", parity=6.6e-7),
    "sctransnet": Sheet(
        "fusion, local",
        "Yuan et al., IEEE TGRS 2024",
        paper_params=11.19e6,
        paper_flops=20.24e9,
        note="Table 6 shows twice the multiply-accumulates in this row alone",
        parity=5.8e-6,
    ),
    "uiunet": Sheet(
        "fusion, local, semantics",
        "Wu et al., IEEE TIP 2023",
        AFRESH + "Apache-2.0",
        paper_params=50.54e6,
        paper_flops=54.43e9,
        parity=7.3e-7,
    ),
    "unet": Sheet("own", "infraspot, from the survey's Tables 1-3", OWN),
}
