"""The index of a dataset: what every program writes, in old and new names, is found and told apart."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.bids import (
    DatasetRun,
    build_name,
    index_dataset,
    is_valid_name,
    parse_name,
    runs_of,
)
from brainlm_core.scans.bids.entities import ENTITIES
from brainlm_core.scans.fmriprep import find_dataset_runs, find_runs
from brainlm_core.scans.run_files import companions

MNI, NLIN6 = "space-MNI152NLin2009cAsym", "space-MNI152NLin6Asym"


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def one(root: Path) -> DatasetRun:
    (run,) = runs_of(index_dataset(root))
    return run


def read_of(run: DatasetRun) -> str:
    assert run.source is not None
    return run.source.path.name


CASES = [
    pytest.param(
        [
            f"sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_{MNI}_res-2_desc-preproc_bold.nii.gz",
            f"sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_{NLIN6}_res-2_desc-preproc_bold.nii.gz",
            f"sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_{NLIN6}_res-2_desc-brain_mask.nii.gz",
            f"sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_{MNI}_res-2_desc-brain_mask.nii.gz",
            "sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_space-T1w_desc-preproc_bold.nii.gz",
            "sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_space-fsLR_den-91k_bold.dtseries.nii",
            "sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_hemi-L_space-fsaverage5_bold.func.gii",
            "sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_desc-confounds_timeseries.tsv",
        ],
        ("sub-01_ses-2_task-rest_run-1", 1, 2, 7),
        id="fMRIPrep 20 and later",
    ),
    pytest.param(
        [
            f"sub-10/func/sub-10_task-rest_bold_{MNI}_preproc.nii.gz",
            f"sub-10/func/sub-10_task-rest_bold_{MNI}_brainmask.nii.gz",
            "sub-10/func/sub-10_task-rest_bold_space-T1w_preproc.nii.gz",
            f"sub-10/func/sub-10_task-rest_bold_{MNI}_variant-smoothAROMAnonaggr_preproc.nii.gz",
            "sub-10/func/sub-10_task-rest_bold_confounds.tsv",
            "sub-10/func/sub-10_task-rest_bold_space-fsaverage5.L.func.gii",
        ],
        ("sub-10_task-rest", 0, 1, 4),
        id="fMRIPrep 1.0",
    ),
    pytest.param(
        [
            f"sub-01/func/sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz",
            f"sub-01/func/sub-01_task-rest_{MNI}_desc-smoothAROMAnonaggr_bold.nii.gz",
            f"sub-01/func/sub-01_task-rest_{MNI}_desc-brain_mask.nii.gz",
            "sub-01/func/sub-01_task-rest_desc-confounds_regressors.tsv",
        ],
        ("sub-01_task-rest", 0, 2, 3),
        id="fMRIPrep 1.2 to 20.1",
    ),
    pytest.param(
        [
            f"sub-01/func/sub-01_task-rest_{MNI}_res-2_desc-denoisedSmoothed_bold.nii.gz",
            f"sub-01/func/sub-01_task-rest_{MNI}_res-2_desc-denoised_bold.nii.gz",
            f"sub-01/func/sub-01_task-rest_{MNI}_seg-Gordon_stat-mean_timeseries.tsv",
            f"sub-01/func/sub-01_task-rest_{MNI}_seg-Gordon_stat-pearsoncorrelation_relmat.tsv",
            "sub-01/func/sub-01_task-rest_motion.tsv",
        ],
        ("sub-01_task-rest", 1, None, 4),
        id="XCP-D images",
    ),
    pytest.param(
        [
            f"sub-01/func/sub-01_task-rest_{MNI}_seg-4S156Parcels_stat-mean_timeseries.tsv",
            f"sub-01/func/sub-01_task-rest_{MNI}_seg-4S456Parcels_stat-mean_timeseries.tsv",
            f"sub-01/func/sub-01_task-rest_{MNI}_seg-4S456Parcels_stat-coverage_bold.tsv",
            f"sub-01/func/sub-01_task-rest_{MNI}_seg-4S456Parcels_stat-alff_bold.tsv",
        ],
        ("sub-01_task-rest", 1, None, None),
        id="XCP-D tables",
    ),
    pytest.param(
        [
            f"sub-01/func/sub-01_task-rest_{MNI}_desc-residual_bold.nii.gz",
            f"sub-01/func/sub-01_task-rest_{MNI}_desc-residual_smooth_bold.nii.gz",
            f"sub-01/func/sub-01_task-rest_{MNI}_atlas-Gordon_timeseries.tsv",
        ],
        ("sub-01_task-rest", 0, None, None),
        id="XCP-D 0.1",
    ),
    pytest.param(
        [
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-template_desc-preproc_bold.nii.gz",
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-template_reg-36Parameter_desc-preproc_bold.nii.gz",
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-template_desc-brain_mask.nii.gz",
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_atlas-CC200_desc-Mean-1_timeseries.1D",
        ],
        ("sub-01_ses-1_task-rest", 1, 2, None),
        id="C-PAC 1.8",
    ),
    pytest.param(
        [
            "0050002_1/functional_to_standard/_scan_rest_1/bandpassed_demeaned_filtered_antswarp.nii.gz",
            "0050002_1/roi_timeseries/_scan_rest_1/_mask_CC200/roi_CC200.1D",
        ],
        ("sub-0050002_ses-1_task-rest1", 0, None, None),
        id="C-PAC 1.0",
    ),
    pytest.param(
        ["Outputs/cpac/filt_noglobal/rois_cc200/Pitt_0050002_rois_cc200.1D"],
        ("sub-0050002_task-rest", 0, None, None),
        id="ABIDE PCP",
    ),
    pytest.param(
        [
            "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz",
            "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR_hp2000_clean.nii.gz",
            "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR_Atlas_MSMAll_hp2000_clean.dtseries.nii",
            "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR_SBRef.nii.gz",
            "100307/MNINonLinear/Results/rfMRI_REST1_LR/Movement_Regressors.txt",
            "100307/MNINonLinear/Results/rfMRI_REST1_LR/brainmask_fs.2.nii.gz",
        ],
        ("sub-100307_task-REST1_dir-LR", 1, 5, 4),
        id="HCP",
    ),
    pytest.param(
        [
            "FunImgAR/Sub_001/ra.nii",
            "FunImgARCW/Sub_001/wCovRegressed.nii",
            "FunImgARCWF/Sub_001/Filtered_4DVolume.nii",
            "FunImgARCWFS/Sub_001/sFiltered_4DVolume.nii",
            "FunImgARCWF/Sub_001/mean_mask.nii",
            "RealignParameter/Sub_001/rp_aSub_001.txt",
            "Results/ROISignals_FunImgARCWF/ROISignals_Sub_001.txt",
            "Results/ROISignals_FunImgARCWF/ROICorrelation_Sub_001.txt",
        ],
        ("sub-Sub001", 2, None, 5),
        id="DPABI",
    ),
    pytest.param(
        [
            "conn01/results/preprocessing/niftiDATA_Subject001_Condition000.nii",
            "conn01/results/preprocessing/niftiDATA_Subject001_Condition001.nii",
            "conn01/results/preprocessing/ROI_Subject001_Condition000.mat",
            "conn01/results/firstlevel/SBC_01/resultsROI_Subject001_Condition001.mat",
        ],
        ("sub-001_task-condition000", 0, None, None),
        id="CONN",
    ),
    pytest.param(
        [
            "sub-01/func/swausub-01_task-rest_bold.nii",
            "sub-01/func/wausub-01_task-rest_bold.nii",
            "sub-01/func/ausub-01_task-rest_bold.nii",
            "sub-01/func/rp_sub-01_task-rest_bold.txt",
        ],
        ("sub-01_task-rest", 1, None, 3),
        id="SPM",
    ),
]


@pytest.mark.parametrize(("names", "right"), CASES)
def test_one_run_of_every_program(
    tmp_path: Path, names: list[str], right: tuple[str, int, int | None, int | None]
) -> None:
    label, best, mask, confounds = right
    run = one(tree(tmp_path, *names))
    source = run.source
    assert run.label == label and source is not None
    assert source.path == tmp_path / names[best]
    assert run.mask_of(source) == (None if mask is None else tmp_path / names[mask])
    assert run.confounds_table() == (None if confounds is None else tmp_path / names[confounds])
    alone = companions(source.path)  # the file by itself finds the same
    assert (alone.mask, alone.confounds) == (run.mask_of(source), run.confounds_table())


SPACES = ("MNI152NLin6Asym", "MNI152NLin2009cAsym", "T1w", "")


def test_seeded_trees_of_many_runs(tmp_path: Path) -> None:
    rng = random.Random(13)
    for round_number in range(12):
        root, right = tmp_path / str(round_number), {}
        for sub in rng.sample(("01", "02", "A7", "x9"), rng.randint(1, 3)):
            for ses in rng.sample(("", "1", "followup"), rng.randint(1, 2)):
                for run in rng.sample(("", "1", "02"), rng.randint(1, 2)):
                    front = f"sub-{sub}" + (f"_ses-{ses}" if ses else "")
                    label = f"{front}_task-rest" + (f"_run-{run}" if run else "")
                    folder = f"sub-{sub}/" + (f"ses-{ses}/" if ses else "") + "func/"
                    spaces = rng.sample(SPACES, rng.randint(1, 4))
                    for space in spaces:
                        entity = f"_space-{space}" if space else ""
                        res = rng.choice(("", "_res-2")) if space.startswith("MNI") else ""
                        ending = f"{entity}{res}_desc-preproc_bold.nii.gz"
                        tree(root, folder + label + ending, f"{folder}{label}{entity}{res}_boldref.nii.gz")
                        for echo in range(1, rng.choice((1, 4))):
                            tree(root, f"{folder}{label}_echo-{echo}{ending}")
                    wanted = next((s for s in SPACES[:2] if s in spaces), None)
                    if rng.random() < 0.7:
                        tree(root, f"{folder}{label}_desc-confounds_timeseries.tsv")
                    right[label] = wanted
        runs = {run.label: run for run in runs_of(index_dataset(root))}
        assert set(runs) == set(right)
        for label, space in right.items():
            source = runs[label].source
            assert (None if source is None else source.name.get("space")) == space
            assert source is None or not source.name.get("echo")
            table = runs[label].confounds_table()
            assert table is None or table.name == f"{label}_desc-confounds_timeseries.tsv"


def test_single_echoes_and_two_derivatives_are_asked_about(tmp_path: Path) -> None:
    tree(tmp_path / "a", *(f"sub-1_task-r_echo-{e}_{MNI}_desc-preproc_bold.nii.gz" for e in (1, 2, 3)))
    with pytest.raises(ScanError, match="sub-1_task-r in x comes as 3 single echoes"):
        find_dataset_runs(tmp_path / "a", "x")
    name = f"sub-1/func/sub-1_task-r_{MNI}_desc-preproc_bold.nii.gz"
    tree(tmp_path / "b", f"derivatives/fmriprep/{name}", f"derivatives/xcp_d/{name}")
    with pytest.raises(ScanError, match=r"several derivatives: fmriprep and xcp_d; give the folder of one"):
        find_dataset_runs(tmp_path / "b", "x")
    assert list(find_runs(tmp_path / "b" / "derivatives" / "xcp_d", "x")) == ["sub-1_task-r"]


def test_links_circles_and_odd_names(tmp_path: Path) -> None:
    name = f"sub-1_task-r_{MNI}_desc-preproc_bold.nii.gz"
    tree(tmp_path / "annex", "object")
    func = tmp_path / "data" / "sub-1" / "func"
    func.mkdir(parents=True)
    (func / name).symlink_to(tmp_path / "annex" / "object")
    (func / name.replace("task-r", "task-gone")).symlink_to(tmp_path / "annex" / "nothing")
    (func / "circle").symlink_to(tmp_path / "data", target_is_directory=True)
    tree(
        func, f"._{name}", name.replace("_bold", "_bold copy"), "notes.txt", "sub-.nii", "a_b_c.nii.gz", "-_-"
    )
    runs = {run.label: run for run in runs_of(index_dataset(tmp_path / "data"))}
    assert set(runs) == {"sub-1_task-r", "sub-1_task-gone"}
    source, gone = runs["sub-1_task-r"].source, runs["sub-1_task-gone"].source
    assert source is not None and source.exists and gone is not None and not gone.exists


def test_a_mask_of_another_grid_is_none(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        f"sub-1_task-r_{MNI}_res-2_desc-preproc_bold.nii.gz",
        f"sub-1_task-r_{MNI}_desc-brain_mask.nii.gz",
        "sub-1_task-other_desc-confounds_timeseries.tsv",
    )
    run = one(root)
    assert run.source is not None and run.mask_of(run.source) is None and run.confounds_table() is None


labels = st.text("abcXYZ0189", min_size=1, max_size=6)


@settings(deadline=None)  # the machine may be busy
@given(
    st.dictionaries(st.sampled_from(ENTITIES), labels), labels, st.sampled_from((".nii.gz", ".tsv", ".json"))
)
def test_what_is_written_is_valid_and_read_again(entities: dict[str, str], suffix: str, ending: str) -> None:
    name = build_name(entities, suffix, ending)
    read = parse_name(name)
    if entities:
        assert is_valid_name(name) and read is not None
        assert dict(read.entities) == entities and (read.suffix, read.extension) == (suffix, ending)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=60))
def test_any_text_is_a_name_or_none(text: str) -> None:
    read = parse_name(text)
    assert read is None or read.entities


@pytest.mark.parametrize(
    "name",
    [
        "task-r_sub-1_bold.tsv",
        "sub-1_sub-1_bold.tsv",
        "sub-a_b_bold.tsv",
        "sub-1_foo-2_bold.tsv",
        "sub-1.tsv",
    ],
)
def test_names_against_the_grammar(name: str) -> None:
    assert not is_valid_name(name)
