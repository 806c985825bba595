"""By which settings the detections in a run folder were made, where these are not the run's.

A test by other settings shows its results under the same names, `RUN/stages/detect/SPLIT/METHOD`: what they are of
is stated by the manifests of their stages alone. Those of earlier versions, which state nothing, are not told.
"""

from collections.abc import Mapping
from typing import Any

from detector.config import Config
from detector.jobs.stated_settings import differing
from detector.runs.folder import RunFolder
from detector.runs.stage import MANIFEST, STAGES, read_manifest

OF_READER = {"method", "max_per_class"}  # settings of `detect` that whoever reads detections chooses by


def other_settings(run: RunFolder, config: Config, facts: Mapping[str, Any]) -> list[str]:
    """The settings that detections with such `facts` were made with and that are others in `config`, in words."""
    reads = _reads_of(facts)
    cut = _reads_at(run, "filter", reads.get("regions"))
    proposed = _reads_at(run, "propose", cut.get("regions", reads.get("regions")))
    without = {"keep": 0} if proposed else {}
    made = {
        "detect": reads.get("detect"),
        "cascade": {name: cut[name] for name in ("keep", "nms_iou") if name in cut} or without,
        "proposals": proposed.get("settings"),
    }
    wished = config.model_dump(mode="json", exclude={"detect": OF_READER})
    return [line for section, stated in made.items() for line in differing(section, stated, wished[section])]


def _reads_at(run: RunFolder, stage: str, key: object) -> Mapping[str, Any]:
    """What the result of a stage with this key reads; nothing where it is not there."""
    if not isinstance(key, str):
        return {}
    return _reads_of(read_manifest(run.path / STAGES / stage / key / MANIFEST) or {})


def _reads_of(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    reads = facts.get("reads")
    return reads if isinstance(reads, Mapping) else {}
