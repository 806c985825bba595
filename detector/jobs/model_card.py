"""The model card: what a detector is, what it was trained on, how good it is, and what may be done with it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, TypeVar

from markupsafe import Markup
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError

from detector.choices import PROTOCOLS
from detector.config import Config
from detector.data.readers import format_of
from detector.errors import DataError
from detector.evaluation.outcomes import protocol_of
from detector.files import read_json
from detector.jobs.stated_settings import settings_in
from detector.networks.backbones import backbone_facts
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import GROUPS, load_model
from detector.reports.pages import markdown_code, page_environment
from detector.runs.folder import RunFolder
from detector.runs.pretrained import weights_name
from detector.runs.split import split_slug
from detector.runs.statement import read_statement

METHODS = {
    "softmax": "a softmax",
    "softmax+boxes": "a softmax, with box regression",
    "svm": "linear SVMs",
    "svm+boxes": "linear SVMs, with box regression",
}
MOST_CLASSES = 40  # of which the table shows each


def _protocol(name: str) -> str:
    if name not in PROTOCOLS:
        raise ValueError(f"must be {', '.join(PROTOCOLS)}, got {name}")
    return name


class ClassResult(BaseModel):
    """A row of the report's classes."""

    name: str
    ap: float | None
    objects: int


class Results(BaseModel):
    """What the card tells of report/metrics.json."""

    protocol: Annotated[str, AfterValidator(_protocol)]
    mean_ap: float | None
    classes: tuple[ClassResult, ...]


class Environment(BaseModel):
    """What the card tells of where the network was trained."""

    commit: str = "unknown"
    processor: str = "unknown"
    accelerators: tuple[str, ...] = ()
    packages: dict[str, str] = {}


Kind = TypeVar("Kind")


def model_card(run: RunFolder, config: Config) -> str:
    """The Markdown text of the card, from what the run folder holds.

    DataError without a trained model, or where a file of the run is not as the run wrote it.
    """
    network, _, metadata = load_model(run.model_path)
    facts = ModelFacts.of(metadata, run.model_path)
    trained = settings_in(facts.config, run.model_path)
    weights = config.network.weights
    is_tested = _is_tested(run)
    metrics = _read(run, "report/metrics.json", Results) if is_tested else None
    environment = _environment(run)
    return (
        page_environment()
        .get_template("model_card.md.j2")
        .render(
            name=config.name,
            config=config,
            trained=trained or config,
            network=backbone_facts(config.network.variant).title,
            classes=facts.classes.names if facts.classes else (),
            parameters=sum(value.numel() for value in network.parameters()),
            method=METHODS[config.method.name],
            methods=[method.name for method in config.methods],
            data=config.data.root.name,
            trained_on=_split_text(run, config.data.train),
            tested_on=_split_text(run, config.data.test),
            start=weights_name(weights) if weights else "",
            sums=GROUPS in metadata,
            commit=environment.commit,
            torch=environment.packages.get("torch", "unknown"),
            hardware=[environment.processor, *environment.accelerators],
            hash=facts.hash or "unknown",
            metrics=metrics,
            protocol=protocol_of(metrics.protocol).words if metrics else "",
            mean_aps=(_read(run, "report/methods.json", dict[str, float | None]) if is_tested else None) or {},
            most_classes=MOST_CLASSES,
            terms=format_of(config.data).terms,
        )
    )


def _environment(run: RunFolder) -> Environment:
    """Where the network was trained; of one of an earlier version, where a training was begun last."""
    stated = run.stage("finetune").facts().get("environment")
    if isinstance(stated, dict):
        with suppress(ValidationError):
            return Environment.model_validate(stated)
    return _read(run, "environment.json", Environment) or Environment()


def _is_tested(run: RunFolder) -> bool:
    """Whether a report that the run has is of its model, as far as `model/` states it."""
    statement = read_statement(run)
    return statement is None or (run.methods_path.is_file() and statement.has(run, run.methods_path))


def _split_text(run: RunFolder, splits: Sequence[str]) -> Markup:
    """Markdown of the names of the splits, and how many images they have together where the run knows."""
    images = run.stage("propose", split_slug(splits)).facts().get("images")
    number = f" ({images:d} images)" if isinstance(images, int) else ""
    return Markup(" + ".join(map(markdown_code, splits)) + number)


def _read(run: RunFolder, name: str, kind: type[Kind]) -> Kind | None:
    """A JSON file of the run, None where there is none; DataError where it holds something else than a `kind`."""
    path = run.path / name
    if not path.is_file():
        return None
    try:
        return TypeAdapter(kind).validate_python(read_json(path, name))
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False)[0]["loc"])) or "its beginning"
        raise DataError(f"{name} must be as the run wrote it, got something else at {place} ({path})") from None
