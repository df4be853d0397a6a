"""Names of programs that do not write BIDS, told as entities: HCP, DPABI, CONN, SPM, C-PAC 1.x, ABIDE PCP.

Sources: HCP S1200 reference manual, appendix III; DPARSFA output file summary and ROI time courses
(rfmri.org); CONN manual (results/preprocessing); C-PAC 1.6 documentation, output directory; ABIDE PCP's
list of derivatives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brainlm_core.scans.bids.entities import FileName, as_label, parse_name

#: Space of volumes that are known to be in MNI152, but not in which version of it.
SOME_MNI = "MNI152"


@dataclass(frozen=True)
class Told:
    """What a path says.

    Parameters
    ----------
    name : FileName
        As BIDS would have it.
    program : str
        Who writes such names.
    person : str
        The person's identifier as it stands in the path.
    """

    name: FileName
    program: str
    person: str


_IMAGE = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_NO_SERIES = re.compile(r"mask|^m?w?mean|sbref|^m?w?r?c[123]", re.IGNORECASE)


def _extension(name: str) -> str:
    match = re.search(r"(\.dtseries\.nii|\.ptseries\.nii|\.nii\.gz|\.[A-Za-z0-9]+)$", name)
    return match[1] if match else ""


def told_by_path(parts: Sequence[str]) -> Told | None:
    """Return what a path below the dataset says, or None when no program is known to write it.

    Parameters
    ----------
    parts : sequence of str
        Folders and file name, from the folder that was given; the folder's own path goes first.
    """
    for reader in _READERS:
        told = reader(parts)
        if told is not None:
            return told
    return None


_HCP_RUN = re.compile(r"([rt])fMRI_([A-Za-z0-9]+)(?:_(7T))?(?:_(LR|RL|AP|PA))?")
_HCP_PERSON = re.compile(r"([A-Za-z0-9]+?)(?:_(V\d+[A-Z]?)_MR|_(\w+)_MR)?")
_HCP_MOTION = ("Movement_Regressors.txt", "Movement_RelativeRMS.txt")


def _hcp(parts: Sequence[str]) -> Told | None:
    """Read ``100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR_hp2000_clean.nii.gz``."""
    run = _HCP_RUN.fullmatch(parts[-2]) if len(parts) > 1 else None
    if run is None:
        return None
    person, session = "", ""
    if len(parts) > 4 and parts[-4] == "MNINonLinear" and (who := _HCP_PERSON.fullmatch(parts[-5])):
        person, session = who[1], who[2] or who[3] or ""
    entities = {"sub": as_label(person), "task": run[2]} if person else {"task": run[2]}
    for entity, label in (("ses", session), ("acq", run[3]), ("dir", run[4])):
        if label:
            entities[entity] = as_label(label)
    name = parts[-1]
    if name == _HCP_MOTION[0]:
        return Told(FileName({**entities, "desc": "confounds"}, "timeseries", ".txt"), "HCP", person)
    if name == "brainmask_fs.2.nii.gz":
        return Told(
            FileName({**entities, "space": "MNI152NLin6Asym", "desc": "brain"}, "mask", ".nii.gz"),
            "HCP",
            person,
        )
    rest = name.removeprefix(parts[-2])
    if rest == name or "SBRef" in rest or "bias" in rest.lower() or "_s" in rest.split("_hp")[0]:
        return None
    clean = "_clean" in rest or "_rclean" in rest
    desc = "denoised" if clean else "preproc"
    if re.fullmatch(r"(_hp\d+)?((_r?t?clean)+)?\.nii\.gz", rest):
        entities |= {"space": "MNI152NLin6Asym", "desc": desc}
        return Told(FileName(entities, "bold", ".nii.gz"), "HCP", person)
    if rest.startswith("_Atlas") and rest.endswith(".dtseries.nii") and "1.6mm" not in rest:
        msm = "MSMAll" in rest
        entities |= {"space": "fsLR", "den": "91k", "desc": desc, "proc": "MSMAll" if msm else "MSMSulc"}
        return Told(FileName(entities, "bold", ".dtseries.nii"), "HCP", person)
    return None


_DPABI_FOLDER = re.compile(r"(?:S(\d+)_)?FunImg([A-Za-z]*)")
_DPABI_SIGNALS = re.compile(r"(?:S(\d+)_)?ROISignals_(?:S\d+_)?FunImg[A-Za-z]*")
_DPABI_MOTION = re.compile(r"(?:S(\d+)_)?RealignParameter")


def _dpabi(parts: Sequence[str]) -> Told | None:
    """Read ``FunImgARCWF/Sub_001/….nii`` and ``Results/ROISignals_FunImgARCWF/ROISignals_Sub_001.txt``."""
    if len(parts) < 2:
        return None
    name = parts[-1]
    if signals := _DPABI_SIGNALS.fullmatch(parts[-2]):
        person = re.fullmatch(r"ROISignals_(.+)\.(txt|mat)", name)
        if person is None:
            return None
        letters = parts[-2].rpartition("FunImg")[2]
        entities = _dpabi_entities(person[1], signals[1]) | {"desc": as_label(f"FunImg{letters}")}
        return Told(FileName(entities, "timeseries", f".{person[2]}"), "DPABI", person[1])
    if len(parts) < 3:
        return None
    if (motion := _DPABI_MOTION.fullmatch(parts[-3])) and re.fullmatch(r"rp_.*\.txt", name):
        entities = _dpabi_entities(parts[-2], motion[1]) | {"desc": "confounds"}
        return Told(FileName(entities, "timeseries", ".txt"), "DPABI", parts[-2])
    folder = _DPABI_FOLDER.fullmatch(parts[-3])
    if folder is None or not _IMAGE.search(name) or _NO_SERIES.search(name):
        return None
    entities = _dpabi_entities(parts[-2], folder[1])
    steps = folder[2].replace("global", "").replace("sym", "")
    entities |= {"space": SOME_MNI} if "W" in steps else {}
    smooth = "Smoothed" if "S" in steps else ""
    entities["desc"] = ("denoised" if "C" in steps else "preproc") + smooth
    entities["proc"] = as_label(folder[2]) if folder[2] else "raw"
    return Told(FileName(entities, "bold", _extension(name).lower()), "DPABI", parts[-2])


def _dpabi_entities(person: str, session: str | None) -> dict[str, str]:
    entities = {"sub": as_label(person.removeprefix("sub-"))}
    return entities | ({"ses": session} if session else {})


_CONN = re.compile(r"(niftiDATA|ROI)_Subject(\d+)_Condition(\d+)\.(nii|mat)")


def _conn(parts: Sequence[str]) -> Told | None:
    """Read ``results/preprocessing/niftiDATA_Subject001_Condition000.nii`` and ``ROI_Subject….mat``."""
    match = _CONN.fullmatch(parts[-1])
    if match is None:
        return None
    entities = {"sub": match[2], "task": f"condition{match[3]}", "desc": "denoised"}
    if match[1] == "ROI":
        return Told(FileName(entities, "timeseries", ".mat"), "CONN", match[2])
    return Told(FileName(entities | {"space": SOME_MNI}, "bold", ".nii"), "CONN", match[2])


_SPM = re.compile(r"([a-z]{1,8})(sub-.+)")
_SPM_MOTION = re.compile(r"rp_a?(sub-.+_bold)\.txt")


def _spm(parts: Sequence[str]) -> Told | None:
    """Read ``swausub-01_task-rest_bold.nii``: the letters in front say what was done, the last step first."""
    if motion := _SPM_MOTION.fullmatch(parts[-1]):
        moved = parse_name(motion[1])
        entities = {} if moved is None else {**moved.entities, "desc": "confounds"}
        return Told(FileName(entities, "timeseries", ".txt"), "SPM", entities.get("sub", ""))
    match = _SPM.fullmatch(parts[-1])
    if match is None:
        return None
    prefix, name = match[1], parse_name(match[2])
    if name is None or name.suffix != "bold" or set(prefix) - set("dswaurfcbm"):
        return None
    entities = dict(name.entities)
    if "w" in prefix:
        entities["space"] = SOME_MNI
    desc = "denoised" if prefix.startswith("d") else "preproc"
    entities["desc"] = desc + ("Smoothed" if "s" in prefix else "")
    return Told(FileName(entities, "bold", name.extension), "SPM", name.get("sub"))


_CPAC_SCAN = re.compile(r"_scan_(.+)")
_CPAC_PERSON = re.compile(r"(?:sub-)?([A-Za-z0-9-]+?)_(?:ses-)?([A-Za-z0-9]+)")
_CPAC_ROI = re.compile(r"roi_(.+)\.(1D|csv)")


def _cpac_old(parts: Sequence[str]) -> Told | None:
    """Read ``0050002_1/functional_to_standard/_scan_rest_1/….nii.gz`` and ``…/roi_CC200.1D``."""
    for kind in ("functional_to_standard", "roi_timeseries"):
        if kind not in parts[:-2]:
            continue
        at = list(parts).index(kind)
        scan = next((m[1] for p in parts[at:-1] if (m := _CPAC_SCAN.fullmatch(p))), None)
        person = _CPAC_PERSON.fullmatch(parts[at - 1]) if at else None
        if scan is None or person is None:
            return None
        entities = {"sub": as_label(person[1]), "ses": person[2], "task": as_label(scan)}
        if kind == "roi_timeseries" and (roi := _CPAC_ROI.fullmatch(parts[-1])):
            entities |= {"atlas": as_label(roi[1])}
            return Told(FileName(entities, "timeseries", f".{roi[2]}"), "C-PAC", person[1])
        if kind == "functional_to_standard" and _IMAGE.search(parts[-1]):
            entities |= {"space": "template", "desc": "preproc"}
            return Told(FileName(entities, "bold", _extension(parts[-1]).lower()), "C-PAC", person[1])
        return None
    return None


_ABIDE = re.compile(
    r"(?:([A-Za-z]+(?:_\d|_[a-z])?)_)?(\d{7})_(rois_([a-z0-9]+)|func_preproc)(\.1D|\.nii\.gz)"
)


def _abide(parts: Sequence[str]) -> Told | None:
    """Read ``Pitt_0050002_rois_cc200.1D`` and ``Pitt_0050002_func_preproc.nii.gz``."""
    match = _ABIDE.fullmatch(parts[-1])
    if match is None:
        return None
    entities = {"sub": match[2], "task": "rest"}
    if match[4] and match[5] == ".1D":
        return Told(FileName(entities | {"atlas": match[4]}, "timeseries", ".1D"), "ABIDE PCP", match[2])
    if match[3] == "func_preproc" and match[5] == ".nii.gz":
        entities |= {"space": SOME_MNI, "desc": "preproc"}
        return Told(FileName(entities, "bold", ".nii.gz"), "ABIDE PCP", match[2])
    return None


_READERS: tuple[Callable[[Sequence[str]], Told | None], ...] = (_hcp, _dpabi, _conn, _spm, _cpac_old, _abide)
