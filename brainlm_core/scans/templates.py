"""Template spaces by name and by NIfTI code: which are MNI152, which are another brain's, which are none.

Sources: TemplateFlow's list of templates, BIDS 1.10 (standard and non-standard template identifiers),
nifti1.h (form codes 0–5), AFNI's view names (+orig, +acpc, +tlrc).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from brainlm_core.base.errors import ConfigError
from brainlm_core.scans.types import MissingChoice

#: The two MNI152 spaces that atlases come in.
NLIN6, NLIN2009C = "MNI152NLin6Asym", "MNI152NLin2009cAsym"
#: Names of spaces that are MNI152, lower case: all or the beginning of the name.
_MNI = re.compile(r"^(mni(?!305)\w*|icbm\w*|ixi549space|colin27|spm(12|8|mni)?|fslmni\w*|standard)$")
#: Names that say no more than that there was some template; pipelines whose default is MNI152 use them.
_UNNAMED = re.compile(r"^(template|std|group|tlrc|common)$")
#: Names of the scanner's or the person's own space.
_NATIVE = re.compile(
    r"^(t1w?|t2w?|t2star|bold|boldref|sbref|epi|func|native|orig|individual|scanner|anat|anatomical|subject"
    r"|fsnative|dwi|acpc|raw)$"
)
#: Other brains: what their names hold, and what they are in words.
_OTHER = (
    (re.compile(r"infant|dhcp|neonat|newborn|baby|fetal|\d+weeks?"), "an infant's"),
    (re.compile(r"pa?ediatric|child|haskins|cmi|nihpd"), "a child's"),
    (
        re.compile(r"^(nmt|d99|inia19|mebrains|yerkes|macaque|rhesus|f99|civm|mbm|marmoset|baboon|vervet)|macaque"),
        "a monkey's",
    ),
    (re.compile(r"^(whs|sigma|fischer|dsurqe|allen|amb|rat|ccf|turone)|mouse|rodent"), "a rodent's"),
    (re.compile(r"talairach|^tt_?n27|^tal$|^n27"), "the Talairach brain's"),
)  # fmt: skip
_ENTITY = re.compile(r"(?:^|[_\W])(?:space|tpl)-([A-Za-z0-9]+)")
_AFNI_VIEW = re.compile(r"\+(orig|acpc|tlrc)(?![a-z])", re.IGNORECASE)
_WORD = re.compile(r"(?<![a-z0-9])(talairach|tlrc|tt_n27)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class NamedSpace:
    """What a name or a header says of the space.

    Parameters
    ----------
    kind : {"mni", "native", "other", "unknown", "silent"}
        ``"other"``: another brain than the MNI152; ``"unknown"``: some template that no list holds.
    name : str
        As it stands in the file's name; empty when the name is silent.
    words : str
        Whose brain it is, for a sentence: ``"an infant's"``; empty where that is not known.
    """

    kind: str
    name: str = ""
    words: str = ""


def space_of_name(file_name: str) -> NamedSpace:
    """Return the space that a file's name states: its ``space-`` entity, an AFNI view, or a word."""
    found = _ENTITY.search(file_name)
    if found:
        return judge_space(found[1])
    view = _AFNI_VIEW.search(file_name)
    if view and view[1].lower() != "tlrc":
        return NamedSpace("native", view[0], "the scanner's own")
    if view:
        return NamedSpace("unknown", view[0])
    word = _WORD.search(file_name)
    return judge_space(word[1]) if word else NamedSpace("silent")


def judge_space(name: str) -> NamedSpace:
    """Judge the name of a space: MNI152, native, another brain, or unknown."""
    plain = name.strip().lower()
    for pattern, words in _OTHER:
        if pattern.search(plain):
            return NamedSpace("other", name, words)
    if _MNI.match(plain):
        return NamedSpace("mni", name)
    if _NATIVE.match(plain):
        return NamedSpace("native", name, "the scanner's own")
    return NamedSpace("unknown", name)


def space_of_code(code: int) -> NamedSpace:
    """Judge a NIfTI form code: 4 is MNI152, 3 Talairach, 5 another template, the rest says nothing."""
    if code == 4:
        return NamedSpace("mni", "code 4")
    if code == 3:
        return NamedSpace("other", "code 3", "the Talairach brain's")
    if code == 5:
        return NamedSpace("other", "code 5", "another template's")
    return NamedSpace("silent")


def is_unnamed_template(space: NamedSpace) -> bool:
    """Whether a name says only that there was a template (C-PAC's ``space-template``, AFNI's ``+tlrc``)."""
    return bool(_UNNAMED.match(space.name.lower().lstrip("+")))


def mni_variant(name: str) -> str:
    """Return which of the two MNI152 spaces of the atlases a named space is nearer to."""
    return NLIN2009C if "2009" in name else NLIN6


@dataclass(frozen=True)
class ClaimedSpace:
    """The space that a scan is taken to lie in, before its brain has been looked at.

    Parameters
    ----------
    template : {"MNI152NLin6Asym", "MNI152NLin2009cAsym"} or None
        As named; None when nothing tells which of the two.
    is_claimed : bool
        Whether the user, the name or the header says MNI152; else only the brain's place can tell.
    notices : tuple of str
        What the user should know.
    """

    template: str | None
    is_claimed: bool
    notices: tuple[str, ...] = ()


def claimed_space(file_name: str, code: int, said: str | None = None) -> ClaimedSpace:
    """Weigh what the user, the file's name and its header say of the space, in this order.

    Parameters
    ----------
    file_name : str
        Display name.
    code : int
        NIfTI form code of the affine that is used.
    said : str, optional
        Name of the space by the user.

    Raises
    ------
    ScanError
        If the scan lies in the scanner's own space or on another brain than the MNI152.
    ConfigError
        If the user names another space than MNI152.
    """
    if said is not None:
        if judge_space(said).kind != "mni":
            raise ConfigError(
                f"{said} is not MNI152, where the parcels lie",
                f"name {NLIN6} or {NLIN2009C}, or give the run registered to one of them",
            )
        return ClaimedSpace(mni_variant(said), True)
    named, coded = space_of_name(file_name), space_of_code(code)
    _refuse(named, coded, file_name)
    if named.kind == "mni":
        doubt = (
            f"The header's {coded.name} means {coded.words} space, the name says {named.name}; "
            "the name was believed."
        )
        return ClaimedSpace(mni_variant(named.name), True, (doubt,) if coded.kind == "other" else ())
    if (coded.kind == "mni" and named.kind == "silent") or (
        is_unnamed_template(named) and coded.kind == "mni"
    ):
        return ClaimedSpace(None, True)
    if named.kind == "unknown" and not is_unnamed_template(named):
        note = (
            f"The name says the space {named.name}, which is not known here as MNI152: parcels are right "
            "only as far as the two templates agree."
        )
        return ClaimedSpace(None, coded.kind == "mni", (note,))
    return ClaimedSpace(None, False)


def which_space(what: str, fix: str) -> MissingChoice:
    """Return the refusal of a scan in another space; whoever knows better can say so."""
    options = tuple(
        (f"It is registered to {space}: read it", {"space": space}) for space in (NLIN6, NLIN2009C)
    )
    return MissingChoice(what, fix, options)


def _refuse(named: NamedSpace, coded: NamedSpace, file_name: str) -> None:
    """Refuse what lies elsewhere by its name, or by its header where the name does not say MNI152."""
    if named.kind == "native":
        raise which_space(
            f"{file_name} is in native space ({named.name}), not in MNI space",
            f"give the run registered to {NLIN6}",
        )
    found = named if named.kind == "other" else coded
    if found.kind != "other" or named.kind == "mni":
        return
    where = f"the header of {file_name} ({found.name})" if found is coded else file_name
    says = "says that it lies" if found is coded else f"lies ({found.name})"
    sure = f", or say --space {NLIN6} if the header is wrong" if found is coded else ""
    raise which_space(
        f"{where} {says} in {found.words} space, not in that of the MNI152 template, where the parcels are",
        f"give the run registered to {NLIN2009C} or {NLIN6}{sure}",
    )
